//! Slots as the instances themselves count them.

use std::io::Write;
use std::time::Duration;

use super::load::{ask, connect};
use super::{front, project};
use crate::support::hub::Hub;

/// For each instance, the most that it has ever worked on at once; asked directly, beside the front.
fn most(hub: &Hub<'_>) -> Vec<usize> {
    let service = hub.service("web");
    let addresses = service["instances"].as_array().unwrap().iter().filter_map(|it| it["upstream"].as_str());
    let told = addresses.map(|address| {
        let mut connection = connect(address.parse().unwrap());
        let (_, told) = ask(&mut connection, "GET /most HTTP/1.1\r\nhost: web\r\n\r\n").unwrap();
        told.split(' ').nth(1).unwrap().parse().unwrap()
    });
    told.collect()
}

#[test]
fn under_overload_with_clients_that_give_up_no_instance_sees_more_than_its_slots() {
    let sandbox = project();
    let hub = Hub::up(&sandbox, &[]);
    let front_of_web = front(&hub);
    let clients: Vec<_> = (0..80)
        .map(|number: u64| {
            std::thread::spawn(move || {
                let mut answered = 0;
                for round in 0..6 {
                    let mut connection = connect(front_of_web);
                    let request = "GET /slow?10 HTTP/1.1\r\nhost: web\r\n\r\n";
                    if (number + round).is_multiple_of(4) {
                        answered += usize::from(
                            ask(&mut connection, request).is_some_and(|(status, _)| status == 200),
                        );
                    } else {
                        connection.get_mut().write_all(request.as_bytes()).unwrap();
                        std::thread::sleep(Duration::from_millis((number * 7 + round * 5) % 30));
                    }
                }
                answered
            })
        })
        .collect();
    let answered: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
    assert_eq!(answered, 120);
    let most = most(&hub);
    assert!(most.len() >= 2 && most.iter().all(|most| *most <= 4), "{most:?}");
    assert!(most.contains(&4), "there was no overload: {most:?}");
}
