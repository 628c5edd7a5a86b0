//! MD5 (RFC 1321), by which clients place keys and servers on a circle. Here it is a hash like any other: nothing is kept
//! secret by it.

/// How far each step rotates, by round.
const ROTATIONS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

/// What each step adds: the whole part of 2^32 times |sin(step)|, counted from one (RFC 1321, 3.4).
const CONSTANTS: [u32; 64] = [
    0xd76a_a478,
    0xe8c7_b756,
    0x2420_70db,
    0xc1bd_ceee,
    0xf57c_0faf,
    0x4787_c62a,
    0xa830_4613,
    0xfd46_9501,
    0x6980_98d8,
    0x8b44_f7af,
    0xffff_5bb1,
    0x895c_d7be,
    0x6b90_1122,
    0xfd98_7193,
    0xa679_438e,
    0x49b4_0821,
    0xf61e_2562,
    0xc040_b340,
    0x265e_5a51,
    0xe9b6_c7aa,
    0xd62f_105d,
    0x0244_1453,
    0xd8a1_e681,
    0xe7d3_fbc8,
    0x21e1_cde6,
    0xc337_07d6,
    0xf4d5_0d87,
    0x455a_14ed,
    0xa9e3_e905,
    0xfcef_a3f8,
    0x676f_02d9,
    0x8d2a_4c8a,
    0xfffa_3942,
    0x8771_f681,
    0x6d9d_6122,
    0xfde5_380c,
    0xa4be_ea44,
    0x4bde_cfa9,
    0xf6bb_4b60,
    0xbebf_bc70,
    0x289b_7ec6,
    0xeaa1_27fa,
    0xd4ef_3085,
    0x0488_1d05,
    0xd9d4_d039,
    0xe6db_99e5,
    0x1fa2_7cf8,
    0xc4ac_5665,
    0xf429_2244,
    0x432a_ff97,
    0xab94_23a7,
    0xfc93_a039,
    0x655b_59c3,
    0x8f0c_cc92,
    0xffef_f47d,
    0x8584_5dd1,
    0x6fa8_7e4f,
    0xfe2c_e6e0,
    0xa301_4314,
    0x4e08_11a1,
    0xf753_7e82,
    0xbd3a_f235,
    0x2ad7_d2bb,
    0xeb86_d391,
];
/// The state before the first block.
const START: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

/// The digest of a text in parts, as four words whose bytes are the lowest first.
pub(super) fn digest(parts: &[&[u8]]) -> [u32; 4] {
    let (mut state, mut block, mut filled, mut bits) = (START, [0; 64], 0, 0_u64);
    for &byte in parts.iter().copied().flatten() {
        block[filled] = byte;
        (filled, bits) = ((filled + 1) % 64, bits + 8);
        if filled == 0 {
            mix(&mut state, &block);
            block = [0; 64];
        }
    }
    block[filled] = 0x80;
    if filled >= 56 {
        mix(&mut state, &block);
        block = [0; 64];
    }
    block[56..].copy_from_slice(&bits.to_le_bytes());
    mix(&mut state, &block);
    state
}

fn mix(state: &mut [u32; 4], block: &[u8; 64]) {
    let word = |i: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte| block[4 * i + byte]));
    let [mut a, mut b, mut c, mut d] = *state;
    for step in 0..64 {
        let (mixed, at) = match step / 16 {
            0 => (b & c | !b & d, step),
            1 => (d & b | !d & c, 5 * step + 1),
            2 => (b ^ c ^ d, 3 * step + 5),
            _ => (c ^ (b | !d), 7 * step),
        };
        let sum = a.wrapping_add(mixed).wrapping_add(CONSTANTS[step]).wrapping_add(word(at % 16));
        let turned = sum.rotate_left(ROTATIONS[step / 16][step % 4]);
        (a, d, c, b) = (d, c, b, b.wrapping_add(turned));
    }
    for (word, more) in state.iter_mut().zip([a, b, c, d]) {
        *word = word.wrapping_add(more);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn digests_are_those_of_the_standard() {
        let hex = |text: &str| -> String {
            let bytes = super::digest(&[text.as_bytes()]).map(u32::to_le_bytes);
            bytes.iter().flatten().map(|byte| format!("{byte:02x}")).collect()
        };
        assert_eq!(hex(""), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(hex("message digest"), "f96b697d7cb7938d525a2f31aaf161d0");
        let long = "12345678901234567890123456789012345678901234567890123456789012345678901234567890";
        assert_eq!(hex(long), "57edf4a22be3c955ac49da2e2107b67a");
        // By md5sum: texts that end a byte before the length's place, at it, a byte before a block's end and at it.
        assert_eq!(hex(&long[..55]), "c9ccf168914a1bcfc3229f1948e67da0");
        assert_eq!(hex(&long[..56]), "49f193adce178490e34d1b3a4ec0064c");
        assert_eq!(hex(&long[..63]), "c3eb67ece68488bb394241d4f6a54244");
        assert_eq!(hex(&long[..64]), "eb6c4179c0a7c82cc2828c1e6338e165");
        assert_eq!(super::digest(&[b"message", b" ", b"digest"]), super::digest(&[b"message digest"]));
    }
}
