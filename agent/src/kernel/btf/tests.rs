use super::{Btf, BtfError, FieldError, Place};

/// A BTF builder: types in order, strings as they come.
#[derive(Default)]
struct Build {
    types: Vec<u8>,
    strings: Vec<u8>,
}

impl Build {
    fn new() -> Self {
        Self { types: Vec::new(), strings: vec![0] }
    }

    fn name(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let at = self.strings.len() as u32;
        self.strings.extend_from_slice(name.as_bytes());
        self.strings.push(0);
        at
    }

    fn words(&mut self, words: &[u32]) {
        for word in words {
            self.types.extend_from_slice(&word.to_le_bytes());
        }
    }

    fn int(&mut self, name: &str, bytes: u32) {
        let name = self.name(name);
        self.words(&[name, 1 << 24, bytes, bytes * 8]);
    }

    fn container(&mut self, kind: u32, name: &str, size: u32, flag: u32, members: &[(&str, u32, u32)]) {
        let name = self.name(name);
        self.words(&[name, flag << 31 | kind << 24 | members.len() as u32, size]);
        for (member, of, bits) in members {
            let member = self.name(member);
            self.words(&[member, *of, *bits]);
        }
    }

    fn finish(&self) -> Vec<u8> {
        let mut bytes = vec![0x9f, 0xeb, 1, 0];
        for word in [24, 0, self.types.len() as u32, self.types.len() as u32, self.strings.len() as u32] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(&self.types);
        bytes.extend_from_slice(&self.strings);
        bytes
    }
}

fn example() -> Vec<u8> {
    let mut build = Build::new();
    build.int("unsigned int", 4); // 1
    build.int("unsigned long", 8); // 2
    build.container(5, "", 8, 0, &[("pid", 1, 0), ("wide", 2, 0)]); // 3: anonymous union
    build.container(4, "", 16, 0, &[("", 3, 0), ("deep", 2, 64)]); // 4: anonymous struct around it
    build.container(4, "inner", 16, 0, &[("a", 1, 0), ("b", 2, 64)]); // 5
    build.container(
        4,
        "outer",
        48,
        1,
        &[("first", 1, 0), ("bit", 1, 1 << 24 | 33), ("", 4, 64), ("in", 5, 192)],
    ); // 6
    let (values, one, two) = (build.name("reason"), build.name("ONE"), build.name("MINUS_TWO"));
    build.words(&[values, 1 << 31 | 6 << 24 | 2, 4, one, 1, two, (-2_i32).cast_unsigned()]); // 7
    build.words(&[0, 2 << 24, 6]); // 8: pointer to outer
    build.words(&[0, 13 << 24 | 3, 0, 0, 0, 0, 8, 0, 7]); // 9: void (void *, outer *, reason)
    build.words(&[0, 2 << 24, 9]); // 10
    let name = build.name("btf_trace_event");
    build.words(&[name, 8 << 24, 10]); // 11
    build.finish()
}

#[test]
fn a_path_passes_through_anonymous_structs_and_unions() {
    let btf = Btf::parse(example()).unwrap();
    assert_eq!(btf.field("outer", "first"), Ok(Place { offset: 0, size: 4 }));
    assert_eq!(btf.field("outer", "pid"), Ok(Place { offset: 8, size: 4 }));
    assert_eq!(btf.field("outer", "deep"), Ok(Place { offset: 16, size: 8 }));
    assert_eq!(btf.field("outer", "in.b"), Ok(Place { offset: 32, size: 8 }));
    assert_eq!(btf.field("outer", "in"), Ok(Place { offset: 24, size: 16 }));
}

#[test]
fn what_is_not_there_is_absent_and_bitfields_are_refused() {
    let btf = Btf::parse(example()).unwrap();
    for (container, path) in
        [("outer", "none"), ("nowhere", "first"), ("outer", ""), ("outer", "first.x"), ("outer", "in.")]
    {
        assert_eq!(btf.field(container, path), Err(FieldError::Absent), "{container}.{path}");
    }
    assert_eq!(btf.field("outer", "bit"), Err(FieldError::Bitfield));
}

#[test]
fn enumerators_keep_their_sign_and_tracepoints_their_arguments() {
    let btf = Btf::parse(example()).unwrap();
    assert_eq!(btf.enumerators("reason"), vec![("ONE".to_owned(), 1), ("MINUS_TWO".to_owned(), -2)]);
    assert_eq!(btf.enumerator("reason", "THREE"), None);
    let params = btf.tracepoint("event").unwrap();
    assert_eq!(
        params.iter().map(|param| (param.base.as_str(), param.pointer)).collect::<Vec<_>>(),
        [("outer", true), ("reason", false)]
    );
    assert_eq!(btf.argument("event", "reason"), Some(1));
    assert_eq!(btf.tracepoint("nothing"), None);
}

#[test]
fn the_small_copy_keeps_the_ids_of_tracepoints() {
    let btf = Btf::parse(example()).unwrap();
    let small = Btf::parse(btf.tracepoints_only()).unwrap();
    assert_eq!(small.trace_typedefs().collect::<Vec<_>>(), vec![(11, &b"btf_trace_event"[..])]);
}

#[test]
fn damaged_files_are_errors_and_never_panics() {
    assert_eq!(Btf::parse(Vec::new()).unwrap_err(), BtfError::Header);
    assert_eq!(Btf::parse(b"\x9f\xeb\x01\x00".to_vec()).unwrap_err(), BtfError::Header);
    let good = example();
    let mut seed = 0x5eed_u64;
    let mut random = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize
    };
    for _ in 0..20_000 {
        let mut bytes = good.clone();
        for _ in 0..=random() % 4 {
            let at = random() % bytes.len();
            bytes[at] = random() as u8;
        }
        bytes.truncate(bytes.len() - random() % 3 * (random() % bytes.len()) / 2);
        if let Ok(btf) = Btf::parse(bytes) {
            for path in ["first", "bit", "pid", "deep", "in.a", "in.b.c"] {
                _ = btf.field("outer", path);
            }
            drop((btf.enumerators("reason"), btf.tracepoint("event"), btf.tracepoints_only()));
        }
    }
}

#[test]
fn the_running_kernel_has_what_every_kernel_has() {
    // without BTF there is nothing to compare with; the probes then say `no_btf`
    let Ok(btf) = Btf::running() else { return };
    assert_eq!(btf.field("task_struct", "tgid").unwrap().size, 4);
    assert_eq!(btf.field("kernfs_node", "id").unwrap().size, 8);
    assert_eq!(btf.argument("sched_process_fork", "task_struct"), Some(0));
    assert!(btf.field("mm_struct", "arg_start").is_ok(), "inside an anonymous struct");
    assert!(aya::Btf::parse(&btf.tracepoints_only(), aya::Endianness::default()).is_ok());
}
