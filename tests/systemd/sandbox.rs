//! The unit takes much from HAProxy, and nothing of what it does.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use mworker_kit::{MasterCli, PATIENCE, Pid, http, procfs, wait_until};

use crate::inside::{self, Cursor, Scenario};
use crate::service::{Kind, Service};

pub fn scenarios() -> Vec<Scenario> {
    [
        Scenario::of("exposure", &[Kind::Haproxy, Kind::Stock], exposure),
        Scenario::of("sandbox", &[Kind::Haproxy], sandbox),
    ]
    .concat()
}

/// As systemd sees the unit that it runs.
fn exposure(service: &Service) -> String {
    let said = inside::run("systemd-analyze", &["security", "--no-pager", service.unit.name()]);
    let level = said.lines().find_map(|line| line.split_once("Overall exposure level for "));
    let level = level.unwrap_or_else(|| panic!("no level: {said}")).1;
    let number: f64 = level
        .split_whitespace()
        .nth(1)
        .and_then(|word| word.parse().ok())
        .unwrap_or_else(|| panic!("no number: {level}"));
    assert!(service.kind == Kind::Stock || number <= 2.5, "{said}");
    level.to_owned()
}

const CHROOT: &str = "/var/lib/haproxy";
const STATS: &str = "/run/haproxy-stats.sock";
const GLOBAL: &str = "    user haproxy
    group haproxy
    chroot /var/lib/haproxy
    log /dev/log local1
    stats socket /run/haproxy-stats.sock mode 660 level admin
    lua-load /etc/haproxy/hello.lua
";
/// TLS is asked for by HAProxy itself.
const SECTIONS: &str = "
frontend tls
    mode http
    log global
    option httplog
    bind 127.0.0.1:443 ssl crt /etc/haproxy/certificates
    http-request use-service lua.hello if { path -m reg ^/lu[a]$ }
    http-request return status 200 content-type text/plain string encrypted if { ssl_fc }
frontend client
    mode http
    bind 127.0.0.1:86
    default_backend tls
backend tls
    mode http
    server one 127.0.0.1:443 ssl verify none
";
const LUA: &str = "core.register_service('hello', 'http', function(applet)
    local text = 'hello of lua'
    applet:set_status(200)
    applet:add_header('content-length', #text)
    applet:start_response()
    applet:send(text)
end)
";

fn sandbox(service: &Service) -> String {
    fs::write("/etc/haproxy/hello.lua", LUA).expect("written");
    fs::create_dir_all("/etc/haproxy/certificates").expect("made");
    let certificate = Path::new("/etc/haproxy/certificates/one.pem");
    fs::copy("/usr/lib/mworker-tests/certificate.pem", certificate).expect("copied");
    fs::set_permissions(certificate, PermissionsExt::from_mode(0o600)).expect("set");
    fs::create_dir_all(CHROOT).expect("made");
    service.configure_sections(1, GLOBAL, SECTIONS);
    service.started();
    all_works(service, 1);
    let master = service.unit.master();
    service.configure_sections(2, GLOBAL, SECTIONS);
    service.unit.reload();
    assert_eq!(service.unit.master(), master);
    all_works(service, 2);
    let before = service.worker();
    service.configure_badly(3);
    service.unit.ask("reload").failed();
    assert_eq!(service.worker(), before);
    all_works(service, 2);
    String::new()
}

#[track_caller]
fn all_works(service: &Service, number: u16) {
    // Low ports.
    service.assert_serves(number);
    let worker = service.worker();
    // The pidfile, and the master's socket, which the worker's PID came from.
    let pidfile = fs::read_to_string("/run/haproxy.pid").expect("the pidfile");
    assert_eq!(pidfile.trim().parse(), Ok(service.unit.master()));
    // User, group, chroot.
    assert_eq!(ids(worker), [id("-u"), id("-g")]);
    assert_eq!(ids(service.unit.master()), ["0", "0"]);
    let root = fs::read_link(format!("/proc/{worker}/root")).expect("its root");
    assert_eq!(root, Path::new(CHROOT));
    // The stats socket.
    let socket = fs::metadata(STATS).expect("the stats socket");
    assert!(socket.file_type().is_socket());
    assert_eq!(socket.permissions().mode() & 0o777, 0o660);
    let info = MasterCli::new(STATS).ask("show info");
    assert!(info.contains(&format!("\nPid: {worker}\n")), "{info}");
    // Certificates and Lua of /etc.
    let cursor = Cursor::now();
    let client = SocketAddr::from(([127, 0, 0, 1], 86));
    let ask = |path| http::get(client, path, PATIENCE).expect("an answer").body;
    assert_eq!(ask("/"), "encrypted");
    assert_eq!(ask("/lua"), "hello of lua");
    // /dev/log, from within the chroot.
    wait_until(PATIENCE, "the request to be logged", || {
        let log = cursor.since();
        log.contains("GET /lua HTTP/1.1") && log.contains(" tls~ ")
    });
}

fn ids(pid: Pid) -> [String; 2] {
    let status = procfs::status(pid).expect("its status");
    ["Uid", "Gid"].map(|key| {
        let all = status.get(key).map(String::as_str).unwrap_or_default();
        all.split_whitespace().next().unwrap_or_default().to_owned()
    })
}

fn id(option: &str) -> String {
    inside::run("id", &[option, "haproxy"]).trim().to_owned()
}
