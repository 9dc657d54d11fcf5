use std::cell::Cell;
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Elf, ElfError, Function, Source, Until};

fn put(bytes: &mut Vec<u8>, values: &[(usize, u64)]) {
    for (size, value) in values {
        bytes.extend_from_slice(&value.to_le_bytes()[..*size]);
    }
}

/// A library with these functions, 16 bytes of `push; ret` each, from 0x1000 on.
pub(in crate::tls) fn library(names: &[&str]) -> Vec<u8> {
    file(names, &[0x55, 0xc3, 0xcc, 0xcc].repeat(4), &[])
}

/// A program of Go with these functions, of which each checks for room, makes its frame and has two returns, from 0x1000 on;
/// `built` is its build information.
pub(in crate::tls) fn go_program(names: &[&str], built: &[u8]) -> Vec<u8> {
    // cmp rsp, [r14+16]; jbe; push rbp; mov rbp, rsp; pop rbp; ret; pop rbp; ret
    file(names, b"\x49\x3b\x66\x10\x76\x06\x55\x48\x89\xe5\x5d\xc3\x5d\xc3\xcc\xcc", built)
}

/// A file with functions that are all the same, and with build information if there is some.
fn file(names: &[&str], function: &[u8], built: &[u8]) -> Vec<u8> {
    let code: Vec<u8> = function.repeat(names.len());
    let mut strings = vec![0];
    let mut symbols = vec![0; 24];
    for (index, name) in names.iter().enumerate() {
        let address = 0x2000 + index as u64 * 16;
        put(&mut symbols, &[(4, strings.len() as u64), (1, 0x12), (1, 0), (2, 1), (8, address), (8, 16)]);
        strings.extend_from_slice(name.as_bytes());
        strings.push(0);
    }
    let titles = b"\0.text\0.dynsym\0.dynstr\0.shstrtab\0.go.buildinfo\0".to_vec();
    let parts = [
        (64 + 56, 0),
        (0x1000, code.len()),
        (0, symbols.len()),
        (0, strings.len()),
        (0, titles.len()),
        (0, built.len()),
    ];
    let sections = if built.is_empty() { 5 } else { 6 };
    let mut place = parts[1].0 + parts[1].1;
    let mut places = vec![parts[1].0];
    for (_, size) in &parts[2..] {
        places.push(place);
        place += size;
    }
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    put(&mut file, &[(2, 3), (2, 62), (4, 1), (8, 0), (8, 64), (8, place as u64), (4, 0)]);
    put(&mut file, &[(2, 64), (2, 56), (2, 1), (2, 64), (2, sections), (2, 4)]);
    put(
        &mut file,
        &[(4, 1), (4, 5), (8, 0x1000), (8, 0x2000), (8, 0), (8, code.len() as u64), (8, 0), (8, 0)],
    );
    file.resize(0x1000, 0);
    file.extend(code.iter().chain(&symbols).chain(&strings).chain(&titles).chain(built));
    file.resize(place + 64, 0);
    let sizes = [code.len(), symbols.len(), strings.len(), titles.len(), built.len()];
    let (kinds, titles, links) = ([1, 11, 3, 3, 1], [1, 7, 15, 23, 33], [0, 3, 0, 0, 0]);
    for index in 0..sections as usize - 1 {
        put(
            &mut file,
            &[(4, titles[index]), (4, kinds[index]), (8, 0), (8, 0x2000), (8, places[index] as u64)],
        );
        put(&mut file, &[(8, sizes[index] as u64), (4, links[index]), (4, 0), (8, 8), (8, 24)]);
    }
    file
}

#[test]
fn functions_are_found_by_their_names() {
    let file = library(&["other", "SSL_read", "SSL_write"]);
    let elf = Elf::open(&file[..]).unwrap();
    assert_eq!(elf.sections().len(), 5);
    assert_eq!(elf.section(".dynsym").unwrap().size, 96);
    let found = elf.functions(&["SSL_read", "SSL_write", "SSL_peek"]).unwrap();
    assert_eq!(found.get("SSL_read"), Some(&Function { offset: 0x1010, size: 16 }));
    assert_eq!(found.get("SSL_write"), Some(&Function { offset: 0x1020, size: 16 }));
    assert_eq!(found.len(), 2);
}

/// Every section's name is the same megabyte without an end.
#[test]
fn names_of_sections_are_kept_in_part() {
    let mut file = library(&["SSL_read"]);
    let table = usize::try_from(super::long(&file, 0x28)).unwrap();
    let (at, sections) = (file.len() as u64, 4_096_usize);
    file[0x3c..0x3e].copy_from_slice(&(sections as u16).to_le_bytes());
    file[0x28..0x30].copy_from_slice(&at.to_le_bytes());
    let mut titles = file[table + 4 * 64..table + 5 * 64].to_vec();
    titles[0x18..0x20].copy_from_slice(&(at + sections as u64 * 64).to_le_bytes());
    titles[0x20..0x28].copy_from_slice(&(1_u64 << 20).to_le_bytes());
    file.extend(titles.repeat(sections));
    file.resize(file.len() + (1 << 20), b'x');
    let elf = Elf::open(&file[..]).unwrap();
    assert_eq!(elf.sections().len(), sections);
    assert!(elf.sections().iter().all(|section| section.name == b"x".repeat(super::MOST_NAME)));
}

/// Nothing but its front, and then zeros without an end; counts what is read.
struct Sparse {
    front: Vec<u8>,
    read: Cell<u64>,
}

impl Source for Sparse {
    fn read_at(&self, place: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.read.set(self.read.get() + buffer.len() as u64);
        buffer.fill(0);
        self.front[..].read_at(place, buffer)?;
        Ok(buffer.len())
    }
}

#[test]
fn what_is_read_of_a_file_is_bounded_in_sum() {
    let mut front = library(&["SSL_read"]);
    let table = usize::try_from(super::long(&front, 0x28)).unwrap();
    // two tables, of which each alone could be read
    for (section, size) in [(3, 3_u64 << 20), (2, 2 << 20)] {
        let at = table + section * 64 + 0x20;
        front[at..at + 8].copy_from_slice(&size.to_le_bytes());
    }
    let source = Sparse { front, read: Cell::new(0) };
    let elf = Elf::open(&source).unwrap();
    elf.left.set(4 << 20);
    let failed = elf.functions(&["SSL_read"]).unwrap_err();
    assert!(matches!(failed, ElfError::Damaged("more than 512 MiB to read")), "{failed}");
    assert!(source.read.get() <= 5 << 20, "{}", source.read.get());
    // one byte at a time does not help
    let elf = Elf::open(&source).unwrap();
    let reads = (0..1_000_000_u64).take_while(|at| elf.bytes(*at, 1).is_ok()).count() as u64;
    assert!(reads <= super::MOST_READ / super::LEAST_READ, "{reads}");
}

#[test]
fn a_file_is_not_read_on_after_a_stop() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&library(&["SSL_read"])).unwrap();
    let stop = AtomicBool::new(false);
    let source = Until { file: &file, stop: &stop };
    let elf = Elf::open(&source).unwrap();
    stop.store(true, Ordering::Relaxed);
    assert!(matches!(elf.functions(&["SSL_read"]), Err(ElfError::Read(_))));
}

#[test]
fn a_name_in_the_end_of_a_longer_one_is_no_function_of_its_own() {
    let file = library(&["my_SSL_read"]);
    assert!(Elf::open(&file[..]).unwrap().functions(&["SSL_read"]).unwrap().is_empty());
}

#[test]
fn a_table_of_many_pieces_is_searched_whole() {
    let names: Vec<String> = (0..20_000).map(|number| format!("function_{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let file = library(&names);
    let wanted = ["function_0", "function_5041", "function_19999"];
    let found = Elf::open(&file[..]).unwrap().functions(&wanted).unwrap();
    assert_eq!(
        found.values().map(|function| function.offset).collect::<Vec<_>>(),
        [0x1000, 0x1000 + 19_999 * 16, 0x1000 + 5_041 * 16]
    );
}

#[test]
fn damaged_files_are_refused_and_do_no_harm() {
    let file = library(&["SSL_read", "SSL_write"]);
    assert!(matches!(Elf::open(&b"#!/bin/sh"[..]), Err(ElfError::Kind)));
    for cut in (0..file.len()).step_by(7) {
        let cut = &file[..cut];
        if let Ok(elf) = Elf::open(cut) {
            _ = elf.functions(&["SSL_read"]);
        }
    }
    let mut bytes = file.clone();
    let headers = file.len() - 5 * 64;
    for at in (0..120).chain(headers..file.len()) {
        for value in [0, 0x7f, 0xff] {
            let before = std::mem::replace(&mut bytes[at], value);
            _ = super::super::binary::examine(&bytes[..], "/libssl.so.3");
            bytes[at] = before;
        }
    }
}
