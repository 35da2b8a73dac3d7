//! How long a reload takes, stock HAProxy and ours in the same run: from SIGUSR2 to READY, and to
//! the first answer of the new worker; what the master's memory is then; and how many system calls
//! the master makes for one, where strace may look.
//!
//! `make bench` builds both and runs it. Numbers are for comparing within one run.

use mworker_kit::{Host, NotifySocket, PATIENCE, Pid, Port, Proxy, Signal, http, try_wait_for};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const RELOADS: usize = 30;
const LEFTOVERS: [usize; 2] = [0, 100];

struct Measured {
    ready: Duration,
    answer: Duration,
    memory_kb: u64,
}

fn main() {
    let binary = |variable: &str| match std::env::var_os(variable) {
        Some(path) => PathBuf::from(path),
        None => panic!("{variable} is not set: run `make bench`"),
    };
    let (stock, ours) = (binary("MWORKER_HAPROXY_STOCK"), binary("MWORKER_HAPROXY_OURS"));
    println!("{RELOADS} reloads each, medians\n");
    println!("old workers                   stock        ours   ours/stock");
    let calls = [system_calls(&stock), system_calls(&ours)];
    for leftovers in LEFTOVERS {
        let (stock, ours) = (measure(&stock, leftovers), measure(&ours, leftovers));
        let row = |what: &str, unit: &str, stock: f64, ours: f64| {
            println!(
                "{leftovers:>5}  {what:<15} {stock:>8.1} {unit} {ours:>8.1} {unit} {:>10.2}",
                ours / stock
            );
        };
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        row("until READY", "ms", ms(stock.ready), ms(ours.ready));
        row("until answered", "ms", ms(stock.answer), ms(ours.answer));
        row("master's memory", "kB", stock.memory_kb as f64, ours.memory_kb as f64);
    }
    match calls {
        [Some(stock), Some(ours)] => {
            println!(
                "    0  system calls    {stock:>8}    {ours:>8}    {:>10.2}",
                ours as f64 / stock as f64
            );
        }
        _ => println!("    0  system calls    strace isn't there, or may not look"),
    }
}

/// The master's system calls from SIGUSR2 until a signal would not be lost again.
fn system_calls(binary: &PathBuf) -> Option<usize> {
    let host = Host::new();
    let (mut proxy, mut notify, _port) = start(&host, binary);
    let trace = host.path("trace");
    let strace = Command::new("strace")
        .args(["-f", "-o"])
        .arg(&trace)
        .args(["-p", &proxy.pid().to_string()])
        .stderr(Stdio::null())
        .spawn();
    let mut strace = strace.ok()?;
    let status = format!("/proc/{}/status", proxy.pid());
    let traced = || {
        let status = std::fs::read_to_string(&status).unwrap_or_default();
        (!status.contains("TracerPid:\t0\n")).then_some(())
    };
    try_wait_for(PATIENCE, || traced().or_else(|| strace.try_wait().ok()?.map(drop)))?;
    traced()?;
    proxy.signal(Signal::USR2);
    settle(&mut proxy, &mut notify, 2);
    // It writes what it has seen when it ends.
    Signal::TERM.send(Pid::try_from(strace.id()).ok()?);
    strace.wait().ok()?;
    let trace = std::fs::read_to_string(trace).ok()?;
    let by_master = format!("{} ", proxy.pid());
    let calls = trace.lines().filter(|line| line.starts_with(&by_master));
    Some(calls.filter(|line| line.contains('(') && !line.contains(" resumed>")).count())
}

fn start(host: &Host, binary: &PathBuf) -> (Proxy, NotifySocket, Port) {
    let port = Port::reserve();
    let mut notify = NotifySocket::at_path(host);
    let config = host.write(
        "haproxy.cfg",
        &format!(
            "global\n    stats socket {}\ndefaults\n    mode http\n    timeout client 600s\n    \
             timeout connect 5s\n    timeout server 5s\nfrontend f\n    bind {}\n    \
             http-request return status 200 hdr pid %[pid]\n",
            host.path("stats.sock").display(),
            port.addr()
        ),
    );
    let launch = host.launch(binary).args(["-Ws", "-S"]).arg(host.master_socket()).arg("-f");
    let mut proxy = launch.arg(config).env("NOTIFY_SOCKET", notify.address()).spawn();
    settle(&mut proxy, &mut notify, 1);
    (proxy, notify, port)
}

fn measure(binary: &PathBuf, leftovers: usize) -> Measured {
    let host = Host::new();
    let (mut proxy, mut notify, port) = start(&host, binary);
    let mut held: Vec<TcpStream> = Vec::new();
    let (mut ready, mut answer) = (Vec::new(), Vec::new());
    for number in 0..leftovers + RELOADS {
        if number < leftovers {
            held.push(TcpStream::connect(port.addr()).expect("a worker that listens"));
            http::get(port.addr(), "/", PATIENCE).expect("an answer");
        }
        let begin = Instant::now();
        proxy.signal(Signal::USR2);
        notify.wait_for("READY", |messages| {
            messages.iter().filter(|m| m.has("READY", "1")).count() == number + 2
        });
        let told = begin.elapsed();
        http::get(port.addr(), "/", PATIENCE).expect("an answer");
        if number >= leftovers {
            ready.push(told);
            answer.push(begin.elapsed());
        }
        settle(&mut proxy, &mut notify, number + 2);
    }
    let memory_kb = memory(&proxy);
    proxy.signal(Signal::TERM);
    proxy.wait_exit(PATIENCE);
    Measured { ready: median(ready), answer: median(answer), memory_kb }
}

/// Waits until a signal would not be lost.
fn settle(proxy: &mut Proxy, notify: &mut NotifySocket, ready: usize) {
    notify.wait_for("READY", |m| m.iter().filter(|m| m.has("READY", "1")).count() >= ready);
    proxy.wait_master_ready();
}

fn memory(proxy: &Proxy) -> u64 {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", proxy.pid())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
