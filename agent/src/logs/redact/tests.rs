use super::{RawText, Rules, redact, redact_arguments, redact_key_line};
use crate::logs::config::RedactRule;

fn rules() -> Rules {
    Rules::build(&[]).unwrap()
}

#[track_caller]
fn check(text: &str, expected: &str) {
    let redacted = redact(RawText::new(text.as_bytes()), &rules());
    assert_eq!(String::from_utf8(redacted.into_bytes().to_vec()).unwrap(), expected);
}

#[track_caller]
fn untouched(text: &str) {
    check(text, text);
}

#[test]
fn passwords_are_hidden() {
    check("login password=hunter2 ok", "login password=[redacted:password] ok");
    check("DB_PASSWORD: hunter2", "DB_PASSWORD: [redacted:password]");
    check(
        r#"{"user":"a","password":"hun\"ter2","x":1}"#,
        r#"{"user":"a","password":"[redacted:password]","x":1}"#,
    );
    check(r#"{\"passwd\":\"hunter2\",\"x\":1}"#, r#"{\"passwd\":\"[redacted:password]\",\"x\":1}"#);
    check("tool --password hunter2 --verbose", "tool --password [redacted:password] --verbose");
    check("postgres://app:s3cr3t@db:5432/x?y", "postgres://app:[redacted:password]@db:5432/x?y");
    check("https://0123456789abcdef0123@github.com/x", "https://[redacted:password]@github.com/x");
    check("amqp://u:p@ss@host/", "amqp://u:[redacted:password]@host/");
    check("db_pass='hunter 2' x", "db_pass='[redacted:password]' x");
    check("Server=x;Pwd=abc;Database=y", "Server=x;Pwd=[redacted:password];Database=y");
}

#[test]
fn tokens_and_keys_are_hidden() {
    check("Authorization: Bearer abc.def-123", "Authorization: Bearer [redacted:authorization]");
    check("authorization: Basic dXNlcjpwYXNz x", "authorization: Basic [redacted:authorization] x");
    check(r#""Authorization":"Bearer abc123def""#, r#""Authorization":"Bearer [redacted:authorization]""#);
    check("sent bearer a1b2c3d4e5 to x", "sent bearer [redacted:token] to x");
    let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U";
    check(&format!("cookie {jwt}; x"), "cookie [redacted:jwt]; x");
    check("key AKIAIOSFODNN7EXAMPLE used", "key [redacted:aws_key] used");
    check(
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "aws_secret_access_key = [redacted:key]",
    );
    check(&format!("ghp_{} x", "a1B2".repeat(9)), "[redacted:github_token] x");
    check(&["xox", "b-123456789012-abcdefghij"].concat(), "[redacted:slack_token]");
    check(&["sk_", "live_4eC39HqLyjWDarjtT1zdp7dc"].concat(), "[redacted:stripe_key]");
    check("GET /x?api_key=0123456789abcdef&y=1", "GET /x?api_key=[redacted:key]&y=1");
    check("X-Api-Key: 0123456789abcdef", "X-Api-Key: [redacted:key]");
    check("accessToken=abcdef123456", "accessToken=[redacted:token]");
    check("client_secret=swordfish", "client_secret=[redacted:secret]");
}

#[test]
fn private_keys_are_hidden_on_one_line_and_over_several() {
    let pem = "-----BEGIN RSA PRIVATE KEY-----\\nMIIEow\\n-----END RSA PRIVATE KEY-----";
    check(&format!("key: \"{pem}\""), "key: \"[redacted:private_key]\"");
    let open = redact(RawText::new(b"x -----BEGIN PRIVATE KEY-----"), &rules());
    assert!(open.opens_key());
    assert_eq!(open.as_bytes(), b"x [redacted:private_key]");
    let line = |text: &str| redact_key_line(RawText::new(text.as_bytes())).map(|(_, goes_on)| goes_on.0);
    assert_eq!(line("MIIEvQIBADANBgkqhkiG9w0BAQEFAASC"), Some(true));
    assert_eq!(line("2026-11-21 app: MIIEvQIBADANBgkqhkiG9w0BAQEFAASC=="), Some(true));
    assert_eq!(line("-----END PRIVATE KEY-----"), Some(false));
    assert_eq!(line("the server has started."), None);
    untouched("-----BEGIN CERTIFICATE-----");
}

#[test]
fn card_numbers_are_hidden() {
    check("card 4111111111111111 ok", "card [redacted:card] ok");
    check("card 4111 1111 1111 1111.", "card [redacted:card].");
    check("card=5500-0000-0000-0004", "card=[redacted:card]");
    check("amex 378282246310005", "amex [redacted:card]");
    check(r#"{"pan":"6011111111111117"}"#, r#"{"pan":"[redacted:card]"}"#);
}

#[test]
fn prose_and_numbers_stay() {
    for text in [
        "",
        "Failed password for root from 10.0.0.1 port 22",
        "the password is required",
        "password=",
        "password=null token=null",
        "password=********",
        "bearer authentication is enabled",
        "basic understanding",
        "Unexpected token: foo",
        "max_tokens=4096 token=5",
        "PWD=/srv/app",
        "secret=kube-system/default-token-abc12",
        "http://example.org:8080/a?b=c",
        "mail user@example.org via smtp://mail.example.org",
        "see https://github.com/a/b@v1",
        "4111111111111112 has a wrong check digit",
        "ts=1795267499000000000 us=1795267499000000 id=123456789012345678",
        "trace 4111111111111111a",
        "uuid 41111111-1111-1111-1111-111111111111",
        "AKIA is a prefix, AKIAIOSFODNN7EXAMPLEX is too long",
        "eyJ is how base64 JSON begins",
        "ghp_short",
        "tokenizer: initialised with 5 words",
        "secretary: Mrs. Robinson",
    ] {
        untouched(text);
    }
}

#[test]
fn bytes_that_are_no_text_stay() {
    let redacted = redact(RawText::new(b"\xff\xfe password=x\xff y"), &rules());
    assert_eq!(redacted.as_bytes(), b"\xff\xfe password=[redacted:password] y");
}

#[test]
fn own_rules_replace_the_match_or_its_group() {
    let own = |name: &str, pattern: &str| RedactRule { name: name.to_owned(), pattern: pattern.to_owned() };
    let rules = Rules::build(&[own("iban", r"\bDE\d{20}\b"), own("pin", r"pin (?<secret>\d{4})")]).unwrap();
    let text = b"DE89370400440532013000 and pin 1234, pin 99";
    assert_eq!(
        redact(RawText::new(text), &rules).as_bytes(),
        b"[redacted:iban] and pin [redacted:pin], pin 99"
    );
    assert!(Rules::build(&[own("bad", "(")]).is_err());
}

#[test]
fn arguments_are_hidden_by_their_flags() {
    let redacted = |arguments: &[&str]| {
        let raw: Vec<RawText<'_>> =
            arguments.iter().map(|argument| RawText::new(argument.as_bytes())).collect();
        redact_arguments(&raw, &rules()).join(" ")
    };
    assert_eq!(redacted(&["app", "--db-password", "x", "-v"]), "app --db-password [redacted:argument] -v");
    assert_eq!(redacted(&["app", "--password=x y"]), "app --password=[redacted:argument]");
    assert_eq!(redacted(&["sh", "-c", "PASSWORD=x y"]), "sh -c PASSWORD=[redacted:argument]");
    assert_eq!(
        redacted(&["/usr/bin/mysql", "-psecret", "-uroot"]),
        "/usr/bin/mysql -p[redacted:argument] -uroot"
    );
    assert_eq!(redacted(&["curl", "-u", "a:b", "http://x"]), "curl -u [redacted:argument] http://x");
    // a secret may begin with a dash
    assert_eq!(redacted(&["app", "--token", "-x5", "-v"]), "app --token [redacted:argument] -v");
    assert_eq!(
        redacted(&["app", "--token", "--password", "x"]),
        "app --token [redacted:argument] [redacted:argument]"
    );
    assert_eq!(redacted(&["ls", "-p", "x"]), "ls -p x");
    assert_eq!(redacted(&[]), "");
}

#[test]
fn secrets_of_a_program_are_hidden_wherever_it_stands() {
    let redacted = |arguments: &[&str]| {
        let raw: Vec<RawText<'_>> =
            arguments.iter().map(|argument| RawText::new(argument.as_bytes())).collect();
        redact_arguments(&raw, &rules()).join(" ")
    };
    for (arguments, expected) in [
        (&["sudo", "-u", "app", "mysql", "-psecret"][..], "sudo -u app mysql -p*"),
        (
            &["timeout", "5", "nice", "-n5", "/usr/bin/mysqldump", "-psecret", "db"],
            "timeout 5 nice -n5 /usr/bin/mysqldump -p* db",
        ),
        (&["env", "DB_PASSWORD=a b", "PWD=/srv", "x=1", "app"], "env DB_PASSWORD=* PWD=/srv x=1 app"),
        (&["sh", "-c", "cd /x;mysql -psecret -uroot | wc"], "sh -c cd /x;mysql -p* -uroot | wc"),
        (&["sh", "-c", "mysql -p'my secret' -uroot"], "sh -c mysql -p* -uroot"),
        (&["sh", "-c", "echo don't; mysql -psecret -uroot"], "sh -c echo don't; mysql -p* -uroot"),
        (&["sh", "-c", "app --token a\\ b -v; mysql -pa\\"], "sh -c app --token * -v; mysql -p*"),
        (&["ssh", "host", "app --token \"a b\" -v"], "ssh host app --token \"* -v"),
        (&["redis-cli", "-a", "-s3cr3t", "ping"], "redis-cli -a * ping"),
        (&["docker", "login", "-u", "me", "-p", "secret", "host"], "docker login -u me -p * host"),
        (&["docker", "run", "-p", "80:80", "nginx"], "docker run -p 80:80 nginx"),
        (&["openssl", "rsa", "-passin", "pass:secret"], "openssl rsa -passin *"),
        (&["mysql", "-p", "db"], "mysql -p db"),
        (
            &["git", "commit", "-m", "the pass is open; don't panic"],
            "git commit -m the pass is open; don't panic",
        ),
    ] {
        assert_eq!(redacted(arguments), expected.replace('*', "[redacted:argument]"));
    }
    let bytes = [RawText::new(b"mysql"), RawText::new(b"-p\xff\xfe")];
    assert_eq!(redact_arguments(&bytes, &rules())[1], "-p[redacted:argument]");
}

#[test]
fn raw_text_shows_only_its_length() {
    assert_eq!(format!("{:?}", RawText::new(b"password=x")), "RawText(10 bytes)");
}

#[test]
fn long_runs_are_hidden_to_their_end() {
    let long = "a1".repeat(200);
    check(&format!("x sk-ant-{long} y"), "x [redacted:api_key] y");
    check(&format!("x eyJ{long}.{long}.{long} y"), "x [redacted:jwt] y");
    // the first of several beginnings in one run is too short or stands wrong, a later one is right
    check("eyJ.eyJ0123456789.0123456789 x", "eyJ.[redacted:jwt] x");
    check("xeyJ0-eyJ0123456789.0123456789 x", "xeyJ0-[redacted:jwt] x");
    check("eyJ01234567.eyJ.eyJ01234567.0123456789.x", "eyJ01234567.eyJ.[redacted:jwt]");
    check("AKIA_AKIAIOSFODNN7EXAMPLE x", "AKIA_[redacted:aws_key] x");
    check("PWD=/srv/token=0123456789abcdef x", "PWD=/srv/token=[redacted:token] x");
}

/// A line of nothing but the beginnings of secrets takes no longer than others: were each looked at to the line's end,
/// every one of these would take minutes.
#[test]
fn hostile_lines_take_linear_time() {
    let rules = rules();
    let clock = daemon::clock::Clock::system();
    let behind = ["", "-", "_", ".", "=/", " ", "=\"/", "=\\\"/", ": x "];
    for (word, _) in super::secret::WORDS {
        let exact = match *word {
            "eyj" => "eyJ",
            "akia" => "AKIA",
            "asia" => "ASIA",
            "aiza" => "AIza",
            word => word,
        };
        for behind in behind {
            let unit = format!("{exact}{behind}");
            let line = unit.repeat((128 << 10) / unit.len());
            let started = clock.monotonic();
            redact(RawText::new(line.as_bytes()), &rules);
            let took = clock.monotonic() - started;
            assert!(took < std::time::Duration::from_secs(5), "{took:?} for a line of {unit}");
        }
    }
}

#[test]
fn any_bytes_are_taken() {
    let words = [
        "password=",
        "\"",
        "\\\"",
        "Bearer ",
        "://",
        "@",
        ":",
        "-----BEGIN PRIVATE KEY-----",
        "eyJ",
        ".",
        "4111 ",
        "\n",
        " ",
        "=",
        "é",
    ];
    let mut random = crate::logs::random::Random::new(7);
    let rules = rules();
    for _ in 0..20_000 {
        let count = random.below(12);
        let mut text = Vec::new();
        for _ in 0..count {
            match random.below(3) {
                0 => text.extend_from_slice(&random.bytes(6)),
                _ => text.extend_from_slice(words[random.below(words.len())].as_bytes()),
            }
        }
        let redacted = redact(RawText::new(&text), &rules);
        assert!(redacted.hits() > 0 || redacted.as_bytes() == text);
        redact_key_line(RawText::new(&text));
        redact_arguments(&[RawText::new(&text), RawText::new(b"x")], &rules);
    }
}
