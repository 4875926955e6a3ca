//! The page in a real browser.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{STATUS, setup};
use crate::support::browser::Browser;
use crate::support::{Server, worker};

/// Opens the page and waits until it is live.
fn open(browser: &mut Browser, server: &Server) -> String {
    let address = format!("http://{}/", server.listening(STATUS));
    browser.go(&address);
    browser.until("document.querySelector('#link-text')?.textContent === 'live'");
    address
}

/// The pids of the workers that the page shows.
const PIDS: &str =
    "[...document.querySelectorAll('.pool tbody tr')].map((row) => row.firstElementChild.textContent)";

#[tokio::test(flavor = "multi_thread")]
async fn a_death_and_a_reset_by_button_are_seen_at_once() {
    let Some(mut browser) = Browser::open() else { return };
    let server = setup().pool("num_workers: 2").start();
    let address = open(&mut browser, &server);
    browser.until("document.querySelector('#problems').textContent === '✓Ready'");
    let before = browser.value(PIDS);
    assert_eq!(before.as_array().unwrap().len(), 2, "{before}");

    let pid = before[0].as_str().unwrap().parse().unwrap();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    browser.until("document.querySelector('#problems').textContent.includes('1 worker died in centrifuge in the last minute')");
    browser.until(&format!("!{PIDS}.includes('{pid}') && {PIDS}.length === 2"));
    assert!(browser.value("document.title").as_str().unwrap().starts_with('▲'));

    let before = browser.value(PIDS);
    browser.value("document.querySelector('[data-action=reset]').click()");
    browser.until("document.querySelector('#operations').textContent.includes('centrifuge: reset: ✓ done')");
    browser.until(&format!("{PIDS}.length === 2 && !{PIDS}.some((pid) => {before}.includes(pid))"));
    // A worker is removed only when the button has been pressed twice.
    let twice = "(() => { const button = document.querySelector('[data-action=remove]'); button.click(); \
                 const label = button.textContent + button.ariaLabel; button.click(); return label; })()";
    assert_eq!(browser.value(twice), "Press againPress again: centrifuge");
    browser.until("document.querySelector('#operations').textContent.includes('remove a worker: ✓ done')");

    let foreign: Vec<_> = browser
        .requests()
        .into_iter()
        .filter(|url| !url.starts_with(&address) && !url.starts_with("data:"))
        .collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    assert!(browser.complaints().is_empty(), "{:#?}", browser.complaints());

    // A refusal is seen, and the button that was pressed keeps the focus.
    let refused = "(() => { const button = document.querySelector('[data-action=remove]'); \
                   button.focus(); button.click(); button.click(); })()";
    browser.until("!document.querySelector('[data-action=remove][aria-disabled]')");
    browser.value(refused);
    browser.until("document.querySelector('.outcome').innerText.includes('the last worker stays')");
    assert_eq!(browser.value("document.activeElement.dataset.action"), "remove");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_fits_a_phone_and_the_dark_and_is_used_by_keyboard() {
    let Some(mut browser) = Browser::open() else { return };
    let pools = "  pools: {a-pool-whose-name-is-rather-long-for-a-phone: {num_workers: 1}}\n";
    let server = setup().pool("num_workers: 3").centrifuge(pools.trim()).start();
    for (width, scheme) in [(360, "dark"), (1280, "light")] {
        browser.resize(width, 800);
        browser.prefer(scheme);
        open(&mut browser, &server);
        browser.until("document.querySelectorAll('.pool tbody tr').length === 4");
        let wide = browser.value("document.documentElement.scrollWidth");
        assert!(wide.as_u64().unwrap() <= width.into(), "{wide} pixels do not fit");
        let ground = browser.value("getComputedStyle(document.body).backgroundColor");
        assert_eq!(ground.as_str().unwrap().contains("252, 252, 250"), scheme == "light", "{ground}");
    }
    // From the link over the main part to the buttons of the first pool.
    let mut reached = Vec::new();
    for _ in 0..4 {
        for kind in ["rawKeyDown", "keyUp"] {
            let key =
                serde_json::json!({"type": kind, "key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9});
            browser.call("Input.dispatchKeyEvent", &key);
        }
        let label = "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent";
        reached.push(browser.value(label).as_str().unwrap().to_owned());
        let outline = browser.value("getComputedStyle(document.activeElement).outlineStyle");
        assert_eq!(outline, "solid", "the focus is seen on {reached:?}");
    }
    let expected =
        ["Skip to the pools", "Reset: centrifuge", "Add worker: centrifuge", "Remove worker: centrifuge"];
    assert_eq!(reached, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_that_are_not_the_page_s_own_do_not_run() {
    let Some(mut browser) = Browser::open() else { return };
    let server = setup().start();
    open(&mut browser, &server);
    let injected = "(() => { const script = document.createElement('script'); \
                    try { script.textContent = 'window.pwned = 1'; document.body.append(script); } catch (error) { return String(error); } \
                    return String(window.pwned); })()";
    let outcome = browser.value(injected);
    assert!(outcome.as_str().unwrap().contains("TrustedScript") || outcome == "undefined", "{outcome}");
    let markup = "(() => { try { document.body.innerHTML = '<img src=x onerror=\"window.pwned = 1\">'; } \
                  catch (error) { return String(error); } return 'taken'; })()";
    let outcome = browser.value(markup);
    assert!(outcome.as_str().unwrap().contains("TrustedHTML"), "{outcome}");
    assert_eq!(browser.value("String(window.pwned)"), "undefined");
    assert!(!browser.complaints().is_empty(), "the policy has refused something");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_words_of_a_worker_are_text_whatever_they_are() {
    let Some(mut browser) = Browser::open() else { return };
    let server = setup().pool("num_workers: 2, slow_after: 50ms").start();
    browser.resize(360, 800);
    open(&mut browser, &server);
    let markup = "<script>window.pwned = 1</script><img src=x onerror='window.pwned = 1'>\u{1b}[2J\u{202e}";
    let words = serde_json::Value::from(format!("{}\n{markup}", "x".repeat(20_000))).to_string();
    let client = server.client().await;
    let file = server.path("go");
    let slow = client.spawn_rpc(&format!("wait:{}", file.display()), "1");
    browser.until("document.querySelector('#slow-list').textContent.includes('rpc for ')");
    std::fs::write(file, "").unwrap();
    slow.await.unwrap().unwrap();
    client.rpc("last_words", &words).await.unwrap_err();
    browser.until("document.querySelector('#deaths-list pre')?.textContent.includes('<script>window.pwned = 1</script>')");
    let shown = browser.value("document.querySelector('#deaths-list').textContent");
    let shown = shown.as_str().unwrap();
    assert!(shown.contains("died, exit status 3, after "), "{shown}");
    assert!(!shown.contains(['\u{1b}', '\u{202e}']) && shown.len() < 2000, "{shown}");
    assert_eq!(browser.value("document.querySelectorAll('#deaths img, #deaths script').length"), 0);
    assert_eq!(browser.value("String(window.pwned)"), "undefined");
    assert!(browser.value("document.documentElement.scrollWidth").as_u64().unwrap() <= 360);
    assert!(browser.complaints().is_empty(), "{:#?}", browser.complaints());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_says_that_the_server_is_gone_and_comes_back_with_it() {
    let Some(mut browser) = Browser::open() else { return };
    let [_, a, b, c] = std::process::id().to_be_bytes();
    let status = format!("status: {{address: '127.{}.{b}.{c}:2113'}}\n", 64 + (a & 63));
    let server = worker().more(&status).start();
    open(&mut browser, &server);
    drop(server);
    browser.until("!document.querySelector('#lost').hidden");
    let text = browser.text();
    assert!(text.contains("Connection lost at ") && text.contains("not connected"), "{text}");
    assert!(browser.value("document.title").as_str().unwrap().contains("Connection lost"));
    let server = worker().pool("num_workers: 3").more(&status).start();
    browser.until("document.querySelector('#link-text')?.textContent === 'live' && document.querySelectorAll('.pool tbody tr').length === 3 && document.querySelector('#lost').hidden");
    drop(server);
}
