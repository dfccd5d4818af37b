#!/usr/bin/env bash
# Debezium Server with its JetStream sink, as a peer of `./dev bench cdc`: it reads a slot that is there and publishes each
# row. The distribution comes through Maven (Debian: maven, default-jre-headless) and stays below build/peers.
#
#   debezium.sh install
#   debezium.sh run NATS_URL postgresql://USER:PASSWORD@HOST:PORT/DATABASE SLOT PUBLICATION FOLDER    (until it is ended)
set -euo pipefail

# The last version that runs on Java 17, which Debian 12 has.
version=2.7.3.Final
home="$(cd "$(dirname "$0")/../../.." && pwd)/build/peers/debezium-$version"

install() {
  [ -d "$home/debezium-server" ] && return
  command -v java >/dev/null || { echo "there is no java (Debian: default-jre-headless)" >&2; exit 1; }
  command -v mvn >/dev/null || { echo "there is no mvn (Debian: maven)" >&2; exit 1; }
  echo "fetching Debezium Server $version (400 MB)" >&2
  rm -rf "$home.new"
  mkdir -p "$home.new" && cd "$home.new"  # without a project, Maven leaves its markers where it stands
  mvn -B -q org.apache.maven.plugins:maven-dependency-plugin:3.6.1:unpack \
    -Dartifact="io.debezium:debezium-server-dist:$version:tar.gz" -DoutputDirectory="$home.new" >&2
  mv "$home.new" "$home"
}

run() {
  local nats=$1 slot=$3 publication=$4 folder=$5
  [[ $2 =~ ^postgresql://([^:]+):([^@]+)@([^:]+):([0-9]+)/([^?]+) ]] || { echo "no such DSN" >&2; exit 2; }
  local user=${BASH_REMATCH[1]} password=${BASH_REMATCH[2]} host=${BASH_REMATCH[3]} port=${BASH_REMATCH[4]} database=${BASH_REMATCH[5]}
  mkdir -p "$folder/conf"
  # The batch is the largest that it takes well; its sink publishes one message after the other, whatever the batch.
  cat >"$folder/conf/application.properties" <<END
debezium.sink.type=nats-jetstream
debezium.sink.nats-jetstream.url=$nats
debezium.sink.nats-jetstream.create-stream=false
debezium.source.connector.class=io.debezium.connector.postgresql.PostgresConnector
debezium.source.database.hostname=$host
debezium.source.database.port=$port
debezium.source.database.user=$user
debezium.source.database.password=$password
debezium.source.database.dbname=$database
debezium.source.topic.prefix=debezium
debezium.source.plugin.name=pgoutput
debezium.source.slot.name=$slot
debezium.source.publication.name=$publication
debezium.source.publication.autocreate.mode=disabled
debezium.source.snapshot.mode=never
debezium.source.offset.storage.file.filename=$folder/offsets.dat
debezium.source.offset.flush.interval.ms=1000
debezium.source.max.batch.size=8192
debezium.source.max.queue.size=32768
debezium.source.poll.interval.ms=5
debezium.format.value=json
debezium.format.value.schemas.enable=false
debezium.format.key.schemas.enable=false
quarkus.http.host=127.0.0.1
quarkus.http.port=0
quarkus.log.console.level=ERROR
END
  cd "$folder"
  local server="$home/debezium-server"
  exec java -cp "$server/debezium-server-dist-$version-runner.jar:$folder/conf:$server/lib/*" io.debezium.server.Main
}

"$@"
