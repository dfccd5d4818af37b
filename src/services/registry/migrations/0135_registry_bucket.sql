-- The bucket `mates` follows these tables through the change stream. Taken out and in again they are told anew, so that it
-- has who registered before.

alter publication intra365_changes drop table intra365.mates, intra365.mate_capabilities;
alter publication intra365_changes add table intra365.mates, intra365.mate_capabilities;
select intra365.show_published_to_replication();
