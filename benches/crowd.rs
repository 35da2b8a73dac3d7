//! How long a reload takes with very many old workers, and what the master's memory is then: it
//! must not grow faster than their number.
//!
//! `make bench` runs it. The old workers are made at once (`mworker_kit::crowd`), the reloads are
//! real ones, from SIGUSR2 to READY.

use mworker_kit::signal::master_ready;
use mworker_kit::{Backend, Host, NotifySocket, Port, Proxy, Signal, traces, try_wait_for};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const RELOADS: usize = 7;
/// The first of each is compared with the others.
const OF_EXAMPLE: [usize; 5] = [1, 1_250, 2_500, 5_000, 10_000];
const OF_HAPROXY: [usize; 5] = [1, 625, 1_250, 2_500, 5_000];
const LIMIT: Duration = Duration::from_secs(60);

fn main() {
    let binary = |variable: &str| match std::env::var_os(variable) {
        Some(path) => PathBuf::from(path),
        None => panic!("{variable} is not set: run `make bench`"),
    };
    let example = binary("MWORKER_EXAMPLE_PROXY");
    let (stock, ours) = (binary("MWORKER_HAPROXY_STOCK"), binary("MWORKER_HAPROXY_OURS"));
    println!("\n{RELOADS} reloads each, medians");
    show("example proxy", &example, &OF_EXAMPLE, config_of_example);
    show("HAProxy, ours", &ours, &OF_HAPROXY, config_of_haproxy);
    show("HAProxy, stock", &stock, &OF_HAPROXY, config_of_haproxy);
}

fn show(what: &str, binary: &Path, counts: &[usize], config: fn(&Port, &Backend) -> String) {
    println!("\n{what}\nold workers    until READY    more for each    master's memory");
    let mut least = None;
    for count in counts {
        let Some((time, memory)) = measure(binary, *count, config) else {
            println!("{count:>11}    the service has ended");
            continue;
        };
        let ms = time.as_secs_f64() * 1_000.0;
        let first = *least.get_or_insert(ms);
        let each = (ms - first) / (*count as f64) * 1_000.0;
        println!("{count:>11}    {ms:>8.1} ms    {each:>10.1} us    {memory:>12} kB");
    }
}

fn config_of_example(port: &Port, echo: &Backend) -> String {
    format!("listen {} backend {}\n", port.addr(), echo.addr())
}

fn config_of_haproxy(port: &Port, _: &Backend) -> String {
    format!(
        "global\n    maxconn 200\ndefaults\n    mode http\n    timeout client 9s\n    timeout \
         connect 9s\n    timeout server 9s\nfrontend f\n    bind {}\n    http-request return \
         status 200\n",
        port.addr()
    )
}

/// Nothing if it ends of them.
fn measure(
    binary: &Path,
    count: usize,
    config: fn(&Port, &Backend) -> String,
) -> Option<(Duration, u64)> {
    let host = Host::new();
    let (port, echo) = (Port::reserve(), Backend::echo());
    let mut notify = NotifySocket::at_path(&host);
    let config = host.write("config", &config(&port, &echo));
    let launch = host.launch_with_crowd(count, binary).args(["-Ws", "-S"]);
    let launch = launch.arg(host.master_socket()).arg("-f").arg(config);
    let limit = count as u64 + 4_096;
    let launch = launch.env("NOTIFY_SOCKET", notify.address()).nofile(limit, limit);
    let mut proxy = launch.spawn();
    let mut times = Vec::new();
    ready(&mut proxy, &mut notify, 1)?;
    settle(&mut proxy)?;
    for number in 0..RELOADS {
        let begin = Instant::now();
        proxy.signal(Signal::USR2);
        ready(&mut proxy, &mut notify, number + 2)?;
        times.push(begin.elapsed());
        settle(&mut proxy)?;
    }
    times.sort_unstable();
    Some((times[RELOADS / 2], traces::memory_kb(proxy.pid())))
}

/// Waits until a signal would not be lost. Who isn't HAProxy holds them back at all times.
/// Nothing if it has ended.
fn settle(proxy: &mut Proxy) -> Option<()> {
    let haproxy = proxy.host().read("config").starts_with("global");
    let settled = try_wait_for(LIMIT, || {
        let ended = proxy.try_exit().is_some();
        (ended || !haproxy || master_ready(proxy.pid())).then_some(!ended)
    });
    settled.filter(|settled| *settled).map(drop)
}

fn ready(proxy: &mut Proxy, notify: &mut NotifySocket, count: usize) -> Option<()> {
    try_wait_for(LIMIT, || {
        let told = notify.count("READY", "1") >= count;
        (told || proxy.try_exit().is_some()).then_some(told)
    })
    .filter(|told| *told)
    .map(drop)
}
