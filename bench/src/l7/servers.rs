//! Real servers from packages, started for the measurement on ports of their own.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use super::Kind;
use super::cgroup::Group;

/// Bytes of nginx's answer.
pub(crate) const BODY: usize = 1_024;
/// Where Debian keeps PostgreSQL's programs.
const POSTGRES: &str = "/usr/lib/postgresql";

/// Ended when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    work: TempDir,
}

impl Server {
    pub(crate) fn start(kind: Kind, group: &Group) -> Result<Self> {
        let work = tempfile::tempdir()?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let child = match kind {
            Kind::Nginx | Kind::NginxTls => nginx(work.path(), address, kind == Kind::NginxTls)?,
            Kind::Postgres => postgres(work.path(), address)?,
        };
        let mut server = Self { child, address, work };
        // before it has children: they are made where it is
        group.take(&server.child)?;
        drop(server.child.stdin.take());
        server.wait()?;
        if kind == Kind::Postgres {
            server.fill()?;
        }
        Ok(server)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate that it shows, where it shows one.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.work.path().join("cert.pem")
    }

    fn wait(&mut self) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(30) {
            if TcpStream::connect(self.address).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                let log = std::fs::read_to_string(self.work.path().join("log")).unwrap_or_default();
                bail!("it ended with {status}: {log}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("it takes no connections within 30 s")
    }

    /// The table that is asked.
    fn fill(&self) -> Result<()> {
        let sql = "CREATE TABLE bench AS SELECT id, md5(id::text) AS value FROM generate_series(1, 10000) id; \
                   ALTER TABLE bench ADD PRIMARY KEY (id); ANALYZE bench;";
        let port = self.address.port().to_string();
        let start = Instant::now();
        loop {
            let psql = Command::new("psql")
                .args([
                    "-h",
                    "127.0.0.1",
                    "-p",
                    &port,
                    "-U",
                    "postgres",
                    "-q",
                    "-v",
                    "ON_ERROR_STOP=1",
                    "-c",
                    sql,
                ])
                .output()
                .context("run psql")?;
            match psql.status.success() {
                true => return Ok(()),
                // it takes connections before it takes questions
                false if start.elapsed() < Duration::from_secs(10) => {
                    std::thread::sleep(Duration::from_millis(200));
                }
                false => bail!("psql: {}", String::from_utf8_lossy(&psql.stderr)),
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            // at once for nginx; PostgreSQL's fast end
            if rustix::process::kill_process(pid, rustix::process::Signal::INT).is_err() {
                println!("a server was gone already");
            }
        }
        if self.child.wait().is_err() {
            println!("a server could not be waited for");
        }
    }
}

fn nginx(work: &Path, address: SocketAddr, encrypted: bool) -> Result<Child> {
    let here = work.display();
    let (listen, tls) = if encrypted {
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
            .args(["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-keyout", "key.pem", "-out", "cert.pem"])
            .current_dir(work)
            .output()
            .context("run openssl")?;
        anyhow::ensure!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
        (
            " ssl",
            format!(
                "ssl_certificate {here}/cert.pem; ssl_certificate_key {here}/key.pem; ssl_protocols TLSv1.3;"
            ),
        )
    } else {
        ("", String::new())
    };
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("{what}_temp_path {here};"))
        .join(" ");
    let body = "x".repeat(BODY);
    let config = format!(
        "daemon off; worker_processes 1; pid {here}/pid; error_log {here}/log warn; events {{ worker_connections 512; }}\n\
         http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 3600; {temporary} server {{ \
         listen {address}{listen}; {tls} location / {{ default_type text/plain; return 200 \"{body}\"; }} }} }}\n"
    );
    let file = work.join("nginx.conf");
    std::fs::write(&file, config)?;
    let log = std::fs::File::create(work.join("log"))?;
    // its worker is there a millisecond after its begin: it waits until it has been moved
    Command::new("sh")
        .args(["-c", "read -r _; exec \"$@\" </dev/null", "sh", "nginx", "-c"])
        .arg(file)
        .arg("-p")
        .arg(work)
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("start nginx")
}

fn postgres(work: &Path, address: SocketAddr) -> Result<Child> {
    let versions = std::fs::read_dir(POSTGRES).context("find PostgreSQL")?;
    let programs = versions.flatten().map(|version| version.path().join("bin")).max();
    let programs = programs.context("no version of PostgreSQL")?;
    let (user, group) = account("postgres")?;
    let data = work.join("data");
    std::fs::create_dir(&data)?;
    for path in [work, &data] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
        chown(path, Some(user), Some(group))?;
    }
    let log = std::fs::File::create(work.join("log"))?;
    let made = Command::new(programs.join("initdb"))
        .args(["--auth", "trust", "--no-sync", "-U", "postgres", "-D"])
        .arg(&data)
        .uid(user)
        .gid(group)
        .current_dir(&data)
        .stdout(log.try_clone()?)
        .stderr(log.try_clone()?)
        .status()
        .context("run initdb")?;
    anyhow::ensure!(made.success(), "initdb failed");
    Command::new(programs.join("postgres"))
        .args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off", "-p"])
        .arg(address.port().to_string())
        .arg("-D")
        .arg(&data)
        .uid(user)
        .gid(group)
        .current_dir(&data)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("start PostgreSQL")
}

/// Numbers of an account and its group.
fn account(name: &str) -> Result<(u32, u32)> {
    let all = std::fs::read_to_string("/etc/passwd")?;
    let line = all.lines().find(|line| line.split(':').next() == Some(name));
    let fields: Vec<&str> = line.context("PostgreSQL has no account here")?.split(':').collect();
    let number = |place: usize| -> Result<u32> { Ok(fields.get(place).context("passwd")?.parse()?) };
    Ok((number(2)?, number(3)?))
}
