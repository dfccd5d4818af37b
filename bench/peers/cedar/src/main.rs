// Cedar on the workload file: cedar-peer WORKLOAD.json SECONDS [--answers]
// Prints one JSON object: p50 and p99 in ns, decisions a second, ms to compile, and how many were allowed.
// With --answers it prints one line of 0 and 1 instead, for the comparison of every single decision.
use cedar_policy::{Authorizer, Context, Decision, Entities, EntityUid, PolicySet, Request};
use serde_json::Value;
use std::hint::black_box;
use std::time::Instant;

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// "mate:m1" -> Mate::"m1"; the part before the colon is the entity's type.
fn entity(text: &str) -> String {
    let (kind, id) = text.split_once(':').unwrap_or(("none", text));
    format!("E_{}::{}", kind, quoted(id))
}

fn subject(pattern: &str) -> String {
    if pattern == "*" {
        return "principal".into();
    }
    match pattern.strip_suffix(":*") {
        Some(kind) => format!("principal is E_{}", kind),
        None => format!("principal == {}", entity(pattern)),
    }
}

fn literal(value: &Value) -> String {
    match value {
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => n.to_string(),
        other => quoted(other.as_str().unwrap()),
    }
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_string()).collect()
}

fn any(terms: Vec<String>) -> String {
    format!("({})", terms.join(" || "))
}

/// A rule as one permit or forbid. A single pattern stands in the scope, where Cedar looks first; several of
/// them become a condition.
fn rule(rule: &Value) -> String {
    let effect = if rule["effect"] == "allow" { "permit" } else { "forbid" };
    let mut terms: Vec<String> = Vec::new();
    let mut scope = |patterns: Vec<String>, variable: &str, write: &dyn Fn(&str) -> String| -> String {
        if patterns.iter().any(|one| one == "*") {
            return variable.to_string();
        }
        let mut written: Vec<String> = patterns.iter().map(|one| write(one)).collect();
        if written.len() == 1 && written[0].starts_with(variable) {
            return written.remove(0);
        }
        terms.push(any(written));
        variable.to_string()
    };
    let principal = scope(texts(&rule["subjects"]), "principal", &subject);
    let action = scope(texts(&rule["actions"]), "action", &|name| format!("action == Action::{}", quoted(name)));
    let resource = scope(texts(&rule["resources"]), "resource", &|pattern| {
        if pattern.contains('*') {
            format!("context.path like {}", quoted(pattern))
        } else {
            format!("resource == {}", entity(pattern))
        }
    });
    for (path, value) in rule["conditions"].as_object().unwrap() {
        terms.push(match value {
            Value::Array(list) => any(list.iter().map(|one| format!("context.{} == {}", path, literal(one))).collect()),
            one => format!("context.{} == {}", path, literal(one)),
        });
    }
    let when = if terms.is_empty() { String::new() } else { format!(" when {{ {} }}", terms.join(" && ")) };
    format!("{}({}, {}, {}){};\n", effect, principal, action, resource, when)
}

fn policy(document: &Value) -> String {
    document["rules"].as_array().unwrap().iter().map(rule).collect()
}

fn uid(text: &str) -> EntityUid {
    text.parse().unwrap()
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let workload: Value = serde_json::from_str(&std::fs::read_to_string(&arguments[1]).unwrap()).unwrap();
    let seconds: f64 = arguments[2].parse().unwrap();
    let source: String = workload["policies"].as_array().unwrap().iter().map(policy).collect();
    let begin = Instant::now();
    let policies: PolicySet = source.parse().unwrap();
    let compile_ms = begin.elapsed().as_secs_f64() * 1e3;

    let requests: Vec<Request> = workload["questions"].as_array().unwrap().iter().map(|question| {
        let text = |field: &str| question[field].as_str().unwrap();
        let mut attributes = question["attributes"].clone();
        attributes["path"] = question["resource"].clone();
        Request::new(
            uid(&entity(text("subject"))),
            uid(&format!("Action::{}", quoted(text("action")))),
            uid(&entity(text("resource"))),
            Context::from_json_value(attributes, None).unwrap(),
            None,
        ).unwrap()
    }).collect();
    let authorizer = Authorizer::new();
    let entities = Entities::empty();
    let decide = |request: &Request| authorizer.is_authorized(black_box(request), &policies, &entities).decision() == Decision::Allow;

    if arguments.get(3).map(String::as_str) == Some("--answers") {
        println!("{}", requests.iter().map(|one| if decide(one) { '1' } else { '0' }).collect::<String>());
        return;
    }
    let mut times: Vec<u64> = Vec::new();
    let mut allowed = 0usize;
    let started = Instant::now();
    let mut round = 0usize;
    'run: loop {
        for request in &requests {
            let begin = Instant::now();
            let yes = decide(request);
            times.push(begin.elapsed().as_nanos() as u64);
            if round == 0 && yes {
                allowed += 1;
            }
            // Every question once, however long that takes; then until the time is up.
            if started.elapsed().as_secs_f64() > seconds && (round > 0 || started.elapsed().as_secs_f64() > 60.0) {
                break 'run;
            }
        }
        round += 1;
    }
    let throughput = times.len() as f64 / started.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    println!(
        "{{\"p50\":{},\"p99\":{},\"throughput\":{:.1},\"compileMs\":{:.3},\"allowed\":{},\"complete\":{}}}",
        at(0.5), at(0.99), throughput, compile_ms, allowed, round > 0
    );
}
