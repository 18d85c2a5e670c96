//! Nodes that are restarted, upgraded and taken out of service, while clients go on.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::support::{Builder, noise, wait_until};

#[test]
fn a_restart_of_the_sidecar_under_load_fails_no_request() {
    let mut site = Builder::default().start_without_mongodb();
    site.stop_sidecar();
    site.keep_socket_open();
    site.start_sidecar();
    let kept = site.client().upload(&noise(0, 200_000));
    let (is_over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let client = site.client();
    std::thread::scope(|scope| {
        for seed in 1..=40 {
            let (client, kept, is_over, answered) = (&client, &kept, &is_over, &answered);
            scope.spawn(move || {
                while !is_over.load(Ordering::SeqCst) {
                    let file = client.upload(&noise(seed, 3000));
                    assert_eq!(client.get(&file.path).body.len(), 3000);
                    assert_eq!(client.head(&kept.path).status, 200);
                    assert_eq!(client.delete(&file.path).status, 204);
                    answered.fetch_add(4, Ordering::SeqCst);
                }
            });
        }
        for _ in 0..4 {
            let before = answered.load(Ordering::SeqCst);
            wait_until("requests are answered", || {
                answered.load(Ordering::SeqCst) > before + 400
            });
            assert!(site.stop_sidecar().success());
            site.start_sidecar();
        }
        is_over.store(true, Ordering::SeqCst);
    });
    assert!(site.log().contains("inherited"));
}
