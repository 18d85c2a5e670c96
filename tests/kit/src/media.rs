//! Makes a picture, a sound and a film: tiny in content, and as long as a test wants them.

/// A key frame of VP8, 16 by 16 pixels of one colour, as Chromium's canvas encodes it for WebP.
const KEY_FRAME: [u8; 38] = [
    0x70, 0x01, 0x00, 0x9d, 0x01, 0x2a, 0x10, 0x00, 0x10, 0x00, 0x04, 0x00, 0x68, 0x25, 0xa0, 0x02,
    0x74, 0x01, 0x75, 0x00, 0x00, 0xfe, 0xe9, 0x67, 0xcf, 0x13, 0x57, 0xfe, 0x21, 0xcf, 0xeb, 0x6f,
    0xfb, 0x94, 0xd6, 0x20, 0x00, 0x00,
];

/// A grey PNG (RFC 2083) of this width and height, its pixels not compressed.
pub fn png(width: u16, height: u16) -> Vec<u8> {
    let chunk = |kind: &[u8], data: &[u8]| {
        let length = u32::try_from(data.len()).expect("a short chunk");
        let checked = [kind, data].concat();
        let check = crc32(&checked).to_be_bytes();
        [&length.to_be_bytes()[..], &checked, &check].concat()
    };
    let [width32, height32] = [width, height].map(|side| u32::from(side).to_be_bytes());
    // Eight bits of grey; then the standard's only compression, filters, and no interlacing.
    let header = [&width32[..], &height32, &[8, 0, 0, 0, 0]].concat();
    // Each row begins with the number of its filter: none.
    let rows = [&[0][..], &vec![0x80; width.into()]].concat();
    let pixels = rows.repeat(height.into());
    [
        &b"\x89PNG\r\n\x1a\n"[..],
        &chunk(b"IHDR", &header),
        &chunk(b"IDAT", &stored(&pixels)),
        &chunk(b"IEND", b""),
    ]
    .concat()
}

/// A zlib stream (RFC 1950) of one block that is not compressed.
fn stored(data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).expect("one block");
    let (mut low, mut high) = (1, 0);
    for &byte in data {
        low = (low + u32::from(byte)) % 65_521;
        high = (high + low) % 65_521;
    }
    let check = (high << 16 | low).to_be_bytes();
    let [length, inverse] = [length, !length].map(u16::to_le_bytes);
    [&[0x78, 0x01, 1][..], &length, &inverse, data, &check].concat()
}

fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(u32::MAX, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| {
            sum >> 1 ^ (0xedb8_8320 * (sum & 1))
        })
    })
}

/// A silent WAV of this many seconds: 48,000 times a second two samples of 16 bits.
pub fn wav(seconds: u16) -> Vec<u8> {
    let length = 48_000 * 4 * u32::from(seconds);
    let mut file = b"RIFF".to_vec();
    file.extend((length + 36).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x02\0");
    file.extend(48_000_u32.to_le_bytes());
    file.extend((48_000_u32 * 4).to_le_bytes());
    file.extend(b"\x04\0\x10\0data");
    file.extend(length.to_le_bytes());
    let samples = usize::try_from(length).expect("a length");
    file.resize(file.len() + samples, 0);
    file
}

/// Makes a `WebM` with one picture in each of its seconds, and with `padding` empty bytes behind
/// each picture.
pub fn webm(seconds: u16, padding: usize) -> Vec<u8> {
    let header = [
        element(&[0x42, 0x82], b"webm"),
        element(&[0x42, 0x87], &[2]), // the version of its type
        element(&[0x42, 0x85], &[2]), // the version that a reader must know
    ];
    let info = [
        element(&[0x2a, 0xd7, 0xb1], &1_000_000_u32.to_be_bytes()), // nanoseconds in a tick
        element(&[0x44, 0x89], &(f64::from(seconds) * 1000.0).to_be_bytes()),
        element(&[0x4d, 0x80], b"gridspool"),
        element(&[0x57, 0x41], b"gridspool"),
    ];
    let size = [element(&[0xb0], &[16]), element(&[0xba], &[16])];
    let track = [
        element(&[0xd7], &[1]), // its number
        element(&[0x73, 0xc5], &[1]),
        element(&[0x83], &[1]), // film
        element(&[0x86], b"V_VP8"),
        element(&[0xe0], &size.concat()),
    ];
    let track = element(&[0xae], &track.concat());
    let front = [
        element(&[0x15, 0x49, 0xa9, 0x66], &info.concat()),
        element(&[0x16, 0x54, 0xae, 0x6b], &track),
    ];
    let clusters: Vec<_> = (0..seconds)
        .map(|second| cluster(u64::from(second) * 1000, padding))
        .collect();
    // The index of the clusters stands before them, and is as long wherever they are.
    let index = |start: usize| {
        let places = (0..clusters.len()).map(|count| start + count * clusters[0].len());
        let points = places.zip((0..).step_by(1000)).map(cue);
        element(
            &[0x1c, 0x53, 0xbb, 0x6b],
            &points.collect::<Vec<_>>().concat(),
        )
    };
    let front = front.concat();
    let start = front.len() + index(0).len();
    let segment = [front, index(start), clusters.concat()].concat();
    let header = element(&[0x1a, 0x45, 0xdf, 0xa3], &header.concat());
    [header, element(&[0x18, 0x53, 0x80, 0x67], &segment)].concat()
}

/// The pictures of one second: one.
fn cluster(milliseconds: u64, padding: usize) -> Vec<u8> {
    // Its track, the time since the cluster's own, and that it needs no other picture.
    let block = [&[0x81, 0, 0, 0x80][..], &KEY_FRAME].concat();
    let parts = [
        element(&[0xe7], &milliseconds.to_be_bytes()),
        element(&[0xa3], &block),
        element(&[0xec], &vec![0; padding]),
    ];
    element(&[0x1f, 0x43, 0xb6, 0x75], &parts.concat())
}

/// Returns the place in the segment of the cluster of a moment.
fn cue((place, milliseconds): (usize, u64)) -> Vec<u8> {
    let position = [
        element(&[0xf7], &[1]),
        element(
            &[0xf1],
            &u64::try_from(place).expect("a place").to_be_bytes(),
        ),
    ];
    let point = [
        element(&[0xb3], &milliseconds.to_be_bytes()),
        element(&[0xb7], &position.concat()),
    ];
    element(&[0xbb], &point.concat())
}

/// An element of EBML (RFC 8794): its id, its length in eight bytes, its data.
fn element(id: &[u8], data: &[u8]) -> Vec<u8> {
    let mut length = u64::try_from(data.len()).expect("a length").to_be_bytes();
    length[0] = 1;
    [id, &length, data].concat()
}
