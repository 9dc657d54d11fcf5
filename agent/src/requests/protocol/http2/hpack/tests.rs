use super::{Broken, Field, Table};

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        hex.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn text(field: &Field) -> String {
    let part = |text: &Option<super::Text>| {
        text.as_ref().map_or("-".into(), |text| String::from_utf8_lossy(text).into_owned())
    };
    format!("{}: {}", part(&field.name), part(&field.value))
}

fn read(table: &mut Table, hex: &str) -> Vec<String> {
    let mut fields = Vec::new();
    table.decode(&bytes(hex), |field| fields.push(text(field))).unwrap();
    fields
}

/// RFC 7541, C.3 and C.4: three requests on one connection, without and with Huffman's code.
#[test]
fn requests_of_the_specification() {
    let plain = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    let huffman = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    for blocks in [plain, huffman] {
        let mut table = Table::new();
        let common = [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"];
        assert_eq!(read(&mut table, blocks[0]), common);
        assert_eq!(read(&mut table, blocks[1])[..4], common);
        let last = read(&mut table, blocks[2]);
        assert_eq!(last[1..4], [":scheme: https", ":path: /index.html", ":authority: www.example.com"]);
        assert_eq!(last[4], "custom-key: -", "a value that nobody reads is not kept");
        assert_eq!(table.size, 164);
    }
}

/// RFC 7541, C.5 and C.6: answers with a table of 256 bytes, so that entries go.
#[test]
fn answers_of_the_specification() {
    let plain = [
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e \
         1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f 6f3d \
         4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 \
         7369 6f6e 3d31",
    ];
    let huffman = [
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b \
         97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf \
         cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ];
    for blocks in [plain, huffman] {
        let mut table = Table::new();
        table.max = 256;
        let first = read(&mut table, blocks[0]);
        assert_eq!((first[0].as_str(), table.size), (":status: 302", 222));
        let second = read(&mut table, blocks[1]);
        assert_eq!(second, [":status: 307", "cache-control: -", "date: -", "location: -"]);
        assert_eq!(table.size, 222);
        let third = read(&mut table, blocks[2]);
        assert_eq!(third[0], ":status: 200");
        assert_eq!((table.size, table.entries.len()), (215, 3));
    }
}

#[test]
fn what_was_sent_before_is_unknown_and_what_is_sent_since_is_not() {
    let mut table = Table::new();
    assert_eq!(read(&mut table, "82be"), [":method: GET", "-: -"]);
    assert_eq!(read(&mut table, "4401 61"), [":path: a"]);
    assert_eq!(read(&mut table, "bebf"), [":path: a", "-: -"]);
    table.forget();
    assert_eq!(read(&mut table, "be"), ["-: -"]);
    assert_eq!(read(&mut table, "7e01 61"), ["-: -"], "a name that is not known");
}

#[test]
fn what_is_no_block_is_refused() {
    for wrong in
        ["80", "3f", "3fffffffffff", "40", "4005", "0003", "4003 6162", "00ff ffff ff7f", "418c f1e3"]
    {
        let mut table = Table::new();
        assert_eq!(table.decode(&bytes(wrong), |_| {}), Err(Broken), "{wrong}");
    }
}

#[test]
fn a_table_holds_what_it_was_told_to() {
    let mut table = Table::new();
    assert_eq!(read(&mut table, "20"), [""; 0]);
    assert_eq!(table.max, 0);
    read(&mut table, "4401 61");
    assert_eq!(table.entries.len(), 0);
    read(&mut table, "3fe1ffff7f");
    assert_eq!(table.max, super::MAX_TABLE, "however much is asked for");
    for _ in 0..5_000 {
        read(&mut table, "4401 61");
    }
    assert!(table.size <= super::MAX_TABLE && table.entries.len() == super::MAX_TABLE / 38);
}
