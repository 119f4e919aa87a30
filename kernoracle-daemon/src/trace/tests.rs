//! The trace file as a whole: what goes in comes out, whatever happens to the bytes in between.

use super::{
    TraceReader, TraceWriter,
    arbitrary::event,
    block::{BlockHead, HEAD, Head, Section, sections},
    codec::push_leb,
    event::{Body, Event},
    loss::Lost,
    origin::Origin,
    reader::ReadError,
    source::Source,
    synthetic::web_server,
    writer::WriteError,
};
use proptest::{collection::vec, prelude::*};
use std::{
    fs,
    io::{self, Read as _},
    path::Path,
};
use tempfile::TempDir;

fn origin() -> Origin {
    Origin {
        kernel: "6.18.0".to_owned(),
        cpus: 2,
        clock: "CLOCK_MONOTONIC".to_owned(),
        ..Origin::default()
    }
}

/// The bytes of a file with these events, a block for each slice.
fn file(blocks: &[&[Event]]) -> Vec<u8> {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("trace");
    let mut writer = TraceWriter::create(&path, &origin()).unwrap();
    for block in blocks {
        for event in *block {
            let mut in_place = event.clone();
            writer.write_in_place(&mut in_place).unwrap();
            assert_eq!(in_place, *event, "left as it was");
        }
        writer.flush_block().unwrap();
    }
    let events: usize = blocks.iter().map(|block| block.len()).sum();
    assert_eq!(writer.events_written(), events as u64);
    let (written, bytes) = writer.finish().unwrap();
    let file = fs::read(&path).unwrap();
    assert_eq!((written, bytes), (events as u64, file.len() as u64));
    file
}

/// Where the header and each block end.
fn ends(blocks: &[&[Event]]) -> Vec<usize> {
    (0..=blocks.len())
        .map(|n| file(&blocks[..n]).len() - HEAD)
        .collect()
}

/// The payload of a block.
fn good_payload() -> Vec<u8> {
    let whole = file(&[&web_server(200, 1)]);
    let header = file(&[]).len() - HEAD;
    whole[header + HEAD..whole.len() - HEAD].to_vec()
}

/// The streams of a payload, decompressed, with their numbers.
fn streams(payload: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let raw = |Section {
                   stream,
                   raw_len,
                   packed,
               }| {
        let raw = if packed.len() == raw_len {
            packed.to_vec()
        } else {
            zstd::bulk::decompress(packed, raw_len).unwrap()
        };
        (stream.0, raw)
    };
    sections(payload)
        .map(|section| raw(section.unwrap()))
        .collect()
}

/// A file with a block of this payload, whose checksums are good, and no end mark.
fn with_payload(payload: &[u8], events: u32) -> Vec<u8> {
    let empty = file(&[]);
    let checksum = crc32fast::hash(payload);
    let head = BlockHead {
        payload: payload.len() as u32,
        events,
        before: 0,
        checksum,
    };
    [
        &empty[..empty.len() - HEAD],
        &Head::Block(head).encode(),
        payload,
    ]
    .concat()
}

struct Read {
    events: Vec<Event>,
    lost: Option<Lost>,
}

fn read(bytes: &[u8]) -> Result<Read, ReadError> {
    let source = Source::new(
        Box::new(io::Cursor::new(bytes.to_vec())),
        Some(bytes.len() as u64),
    );
    let mut reader = TraceReader::new(source, Path::new("trace"))?;
    assert_eq!(reader.origin(), &origin());
    let mut events = Vec::new();
    while let Some(event) = reader.next_event()? {
        events.push(event.clone());
    }
    assert!(reader.next_event()?.is_none(), "goes on after its end");
    assert_eq!(reader.position(), (bytes.len() as u64, bytes.len() as u64));
    if reader.lost().is_none() {
        let totals = reader.totals().expect("a whole file has an end mark");
        assert_eq!(totals.events, events.len() as u64);
    }
    Ok(Read {
        events,
        lost: reader.lost().cloned(),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn any_events_survive(blocks in vec(vec(event(), 0..40), 0..4)) {
        let slices: Vec<_> = blocks.iter().map(Vec::as_slice).collect();
        let back = read(&file(&slices)).unwrap();
        prop_assert_eq!(back.lost, None);
        prop_assert_eq!(back.events, blocks.concat());
    }

    #[test]
    fn garbage_behind_a_good_header_ends_in_a_report(garbage in vec(any::<u8>(), 1..2_000)) {
        let mut bytes = file(&[]);
        bytes.truncate(bytes.len() - HEAD);
        bytes.extend(&garbage);
        let back = read(&bytes).unwrap();
        prop_assert!(back.events.is_empty());
        prop_assert_eq!(back.lost.unwrap().bytes, garbage.len() as u64);
    }

    /// Checksums forgive nothing, so the decoder behind them is reached with checksums made to fit.
    #[test]
    fn hostile_payloads_with_good_checksums_do_no_harm(
        events in 1..2_000_u32,
        flips in vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let mut payload = good_payload();
        for (at, value) in flips {
            *at.get_mut(&mut payload) = value;
        }
        let back = read(&with_payload(&payload, events)).unwrap();
        prop_assert!(back.lost.is_some());
    }

    /// The same behind zstd, which forgives little too.
    #[test]
    fn hostile_streams_do_no_harm(
        events in 1..2_000_u32,
        flips in vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let mut streams = streams(&good_payload());
        for (stream, at, value) in flips {
            *at.get_mut(&mut stream.get_mut(&mut streams).1) = value;
        }
        let mut payload = Vec::new();
        for (id, raw) in streams {
            payload.push(id);
            push_leb(&mut payload, raw.len() as u64);
            push_leb(&mut payload, raw.len() as u64);
            payload.extend(raw);
        }
        let back = read(&with_payload(&payload, events)).unwrap();
        prop_assert!(back.lost.is_some());
        prop_assert!(back.events.len() <= events as usize);
    }
}

#[test]
fn a_file_cut_anywhere_reads_up_to_the_last_whole_block() {
    let events = web_server(90, 1);
    let blocks: Vec<_> = events.chunks(30).collect();
    let whole = file(&blocks);
    let ends = ends(&blocks);
    for cut in 0..whole.len() {
        let result = read(&whole[..cut]);
        if cut < ends[0] {
            match (cut, result.err().expect("no header, no events")) {
                (0, ReadError::Empty { .. }) => {}
                (_, ReadError::HeaderCut { at, .. }) if at == cut as u64 => {}
                (_, error) => panic!("cut at {cut}: {error}"),
            }
            continue;
        }
        let back = result.unwrap();
        let last = ends.iter().rposition(|&end| end <= cut).unwrap();
        assert_eq!(back.events, blocks[..last].concat(), "cut at {cut}");
        let lost = back
            .lost
            .unwrap_or_else(|| panic!("cut at {cut} goes unseen"));
        assert_eq!(
            (lost.offset, lost.bytes),
            (ends[last] as u64, (cut - ends[last]) as u64),
            "{lost}"
        );
    }
    assert_eq!(read(&whole).unwrap().lost, None);
}

#[test]
fn a_flipped_byte_costs_one_block_and_is_reported() {
    let events = web_server(80, 1);
    let blocks: Vec<_> = events.chunks(20).collect();
    let whole = file(&blocks);
    let ends = ends(&blocks);
    let (header, end) = (ends[0], whole.len() - HEAD);
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x41;
        let result = read(&bytes);
        if at < header {
            assert!(result.is_err(), "byte {at} of the header");
            continue;
        }
        let back = result.unwrap();
        let lost = back.lost.unwrap_or_else(|| panic!("byte {at} goes unseen"));
        let read: Vec<_> = back
            .events
            .iter()
            .filter(|event| !matches!(event.body, Body::Gap { .. }))
            .collect();
        if at >= end {
            assert_eq!(read.len(), events.len(), "{lost}");
            continue;
        }
        let hit = ends.iter().rposition(|&end| end <= at).unwrap();
        let want: Vec<_> = (0..)
            .zip(&blocks)
            .filter(|&(n, _)| n != hit)
            .flat_map(|(_, block)| *block)
            .collect();
        assert_eq!(read, want, "byte {at}: {lost}");
        let gaps = back.events.iter().filter_map(|event| match event.body {
            Body::Gap { lost } => Some((event.seq, lost)),
            _ => None,
        });
        // Nothing tells what the first block held, and nothing follows the last one.
        let want = if hit == 0 || hit == blocks.len() - 1 {
            vec![]
        } else {
            vec![(blocks[hit][0].seq, blocks[hit].len() as u64)]
        };
        assert_eq!(gaps.collect::<Vec<_>>(), want, "byte {at}: {lost}");
    }
}

#[test]
fn a_block_that_is_gone_is_missed() {
    let events = &web_server(60, 1)[..60];
    let blocks: Vec<_> = events.chunks(20).collect();
    let whole = file(&blocks);
    let ends = ends(&blocks);
    for gone in 0..blocks.len() {
        let bytes = [&whole[..ends[gone]], &whole[ends[gone + 1]..]].concat();
        let back = read(&bytes).unwrap();
        let lost = back
            .lost
            .unwrap_or_else(|| panic!("block {gone} is not missed"));
        assert!(lost.why.contains("20 events are missing"), "{lost}");
    }
}

#[test]
fn what_is_no_trace_file_is_told_in_one_line() {
    let error = |bytes: &[u8]| read(bytes).err().expect("is refused").to_string();
    let good = file(&[]);
    assert!(error(b"").contains("is empty"));
    assert!(error(b"perf.data and so on").contains("not a Kernoracle trace file"));
    assert!(error(b"#!").contains("not a Kernoracle trace file"));

    let mut newer = good.clone();
    newer[8] = 7;
    assert!(error(&newer).contains("format version 7, this program reads 2"));
    let mut huge = good.clone();
    huge[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(error(&huge).contains("damaged header"));

    for bytes in [&b""[..], b"perf", &newer, &huge, &good[..10], &good[..20]] {
        assert!(!error(bytes).contains('\n'));
    }
    let dir = TempDir::new().unwrap();
    for path in [dir.path().join("missing"), dir.path().to_path_buf()] {
        let error = TraceReader::open(&path).unwrap_err();
        assert!(
            error.to_string().starts_with(path.to_str().unwrap()),
            "{error}"
        );
    }
}

#[test]
fn bytes_behind_the_end_mark_are_reported() {
    let mut bytes = file(&[&web_server(10, 1)]);
    let end = bytes.len() as u64;
    bytes.extend_from_slice(b"more");
    let lost = read(&bytes).unwrap().lost.unwrap();
    assert_eq!((lost.offset, lost.bytes), (end, 4), "{lost}");
}

#[test]
fn many_places_of_loss_make_one_line() {
    let events = web_server(100, 1);
    let blocks: Vec<_> = events.chunks(5).collect();
    let mut bytes = file(&blocks);
    for end in &ends(&blocks)[1..blocks.len()] {
        bytes[end - 1] ^= 1;
    }
    let lost = read(&bytes).unwrap().lost.unwrap();
    assert!(
        lost.why
            .ends_with(&format!("; and at {} more places", blocks.len() - 5)),
        "{lost}"
    );
}

#[test]
fn a_full_disk_is_told_with_the_file() {
    let path = Path::new("/dev/full");
    let error = TraceWriter::create(path, &origin()).unwrap_err();
    assert!(
        matches!(error, WriteError::Full { events: 0, .. }),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .starts_with("/dev/full: No space left on device"),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .ends_with("before any event was written: free space, then record again"),
        "{error}"
    );
}

#[test]
fn an_error_in_the_middle_leaves_whole_blocks_and_ends_the_writing() {
    let (mut output, dir) = (io::pipe().unwrap(), TempDir::new().unwrap());
    let path = dir.path().join("reader-goes-away");
    drop(output.0);
    let closed = Box::new(output.1.try_clone().unwrap());
    let error = TraceWriter::to_stream(closed, &path, &origin()).unwrap_err();
    assert!(matches!(error, WriteError::Io { events: 0, .. }), "{error}");

    output = io::pipe().unwrap();
    let events = &web_server(40, 1)[..40];
    let mut writer = TraceWriter::to_stream(Box::new(output.1), &path, &origin()).unwrap();
    for event in &events[..20] {
        writer.write(event).unwrap();
    }
    writer.flush_block().unwrap();
    let mut received = vec![0; writer.bytes_written() as usize];
    output.0.read_exact(&mut received).unwrap();
    drop(output.0);
    for event in &events[20..] {
        writer.write(event).unwrap();
    }
    let error = writer.flush_block().unwrap_err();
    assert!(
        matches!(error, WriteError::Io { events: 20, .. }),
        "{error}"
    );
    let error = writer.write(&events[0]).unwrap_err();
    assert!(
        matches!(error, WriteError::GivenUp { events: 20, .. }),
        "{error}"
    );
    assert!(writer.finish().is_err());
    assert_eq!(read(&received).unwrap().events, events[..20]);
}

#[test]
fn a_writer_that_is_dropped_keeps_its_events() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("trace");
    let events = web_server(10, 1);
    let mut writer = TraceWriter::create(&path, &origin()).unwrap();
    for event in &events {
        writer.write(event).unwrap();
    }
    drop(writer);
    let back = read(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(back.events, events);
    assert!(back.lost.unwrap().why.contains("no end mark"));
}

#[test]
fn a_web_server_takes_less_than_24_bytes_an_event() {
    let events = web_server(200_000, 1);
    let bytes = file(&[&events]);
    assert_eq!(read(&bytes).unwrap().events, events);
    let size = bytes.len() as f64 / events.len() as f64;
    println!("{size:.2} bytes an event");
    assert!(size < 24.0, "{size}");
}
