//! The main job on the demo that the repository ships.

use crate::support::Sandbox;
use crate::support::hub::Hub;

#[test]
fn the_demo_answers() {
    let sandbox = Sandbox::demo();
    let hub = Hub::up(&sandbox, &[]);
    assert_eq!(hub.call(&["my_func", "1", "2"]), "3");
    assert_eq!(hub.call(&["my_chain", "7"]), "7");
    let address = hub.call(&["msx.orchestrator.access", "a"]);
    assert!(address.starts_with("http://127.0.0.1:"), "{address}");
}
