//! A message with parts that exist already, and a kill between any two of its steps.

use kit::{Mongo, Site, eventually, noise, program_with_points};
use mongodb::bson::doc;
use serde_json::{Value, json};

use super::forward::{builder, forwarding, links, send};
use super::{FORM, JSON, post, sent, taken, text};

/// Kills the sidecar at a point of a message that forwards a stored and a pending file, and
/// restarts it.
fn kill_at(site: &mut Site, point: &str, body: &Value) {
    site.stop_sidecar();
    site.reconfigure(|builder| builder.set("failpoint", format!("{point}=1")));
    site.start_sidecar();
    let client = site.client();
    let answer = client.try_post("/messages", &[JSON], body.to_string().as_bytes());
    if let Ok(answer) = &answer {
        assert_ne!(answer.status, 201, "{point}: {answer:?}");
    }
    site.kill_sidecar();
    site.reconfigure(|builder| builder.set("failpoint", "no.point=1"));
    site.start_sidecar();
}

#[test]
fn after_a_kill_between_any_two_steps_all_links_are_there_or_none() {
    let Some(program) = program_with_points("messages::forward_kills::after_a_kill") else {
        return;
    };
    let mongo = Mongo::start();
    let mut site = builder().program(&program).start(&mongo);
    let clip = noise(1, 40_000);
    let stored = taken(&post(&site.client(), FORM, &sent("m 1", &clip, b"picture")));
    site.wait_until_empty();
    for (number, point) in (0..).zip(["intent.noted", "link.noted", "form.promised"]) {
        let stored_alone = site.client().upload(b"it came alone");
        site.wait_until_empty();
        let commands = doc! { "failCommands": ["insert"], "errorCode": 13 };
        mongo.fail_sidecars("alwaysOn", commands);
        let waiting_alone = site.client().upload(b"it came alone");
        let alone = [stored_alone, waiting_alone];
        let waiting = taken(&post(
            &site.client(),
            FORM,
            &sent(&format!("w {number}"), &clip, b"p"),
        ));
        let mut body = forwarding(&stored, &[1]);
        body["id"] = format!("f {number}").into();
        let more = forwarding(&waiting, &[1, 2])["parts"].clone();
        let named = alone.each_ref().map(|file| json!({ "file": file.id }));
        let parts = body["parts"].as_array_mut().unwrap();
        parts.extend(more.as_array().unwrap().iter().chain(&named).cloned());
        kill_at(&mut site, point, &body);
        mongo.heal();
        site.wait_until_empty();
        let is_promised = point == "form.promised";
        let parts = [&stored["parts"][0], &waiting["parts"][0]];
        eventually(point, || {
            let counts = parts.map(|part| links(&mongo, part).len());
            (counts == [1 + usize::from(is_promised); 2]).then_some(())
        });
        for file in &alone {
            let found = json!({ "id": file.id });
            eventually(point, || {
                (links(&mongo, &found).len() == usize::from(is_promised)).then_some(())
            });
            assert_eq!(
                site.client().get(&file.path).body,
                b"it came alone",
                "{point}"
            );
        }
        if is_promised {
            let of_stored = links(&mongo, &stored["parts"][0]);
            // The message was promised, and nobody was told: the sender asks again.
            let again = taken(&send(&site.client(), &body));
            assert!(of_stored.contains(&text(&again, "id").to_owned()));
            assert_eq!(links(&mongo, &stored["parts"][0]), of_stored);
        }
    }
}
