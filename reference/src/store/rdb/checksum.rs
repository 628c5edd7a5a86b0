//! The checksum at the end of a file of records: CRC-64 with the polynomial of D. T. Jones, reflected (crc64.c of Redis 7.0),
//! eight bytes at a time ("slicing by eight": Kounavis and Berry, ISCC 2005).

const POLYNOMIAL: u64 = 0xad93_d235_94c9_35a9;

static TABLES: [[u64; 256]; 8] = tables();

const fn tables() -> [[u64; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL.reverse_bits() } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut ahead = 1;
    while ahead < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[ahead - 1][byte];
            tables[ahead][byte] = before >> 8 ^ tables[0][(before & 255) as usize];
            byte += 1;
        }
        ahead += 1;
    }
    tables
}

/// The checksum of what has that of `crc` up to now (zero at the start) and goes on with `bytes`.
pub(in crate::store) fn crc64(mut crc: u64, bytes: &[u8]) -> u64 {
    let mut eights = bytes.chunks_exact(8);
    for eight in &mut eights {
        let mixed =
            (crc ^ eight.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))).to_le_bytes();
        crc = mixed
            .iter()
            .zip(TABLES.iter().rev())
            .fold(0, |crc, (byte, table)| crc ^ table[usize::from(*byte)]);
    }
    for byte in eights.remainder() {
        crc = crc >> 8 ^ TABLES[0][usize::from(crc as u8 ^ byte)];
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_that_of_redis_however_the_bytes_come() {
        // crc64.c: the check value of "123456789".
        assert_eq!(crc64(0, b"123456789"), 0xe9c6_d914_c4b8_d9ca);
        let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
        for cut in 0..40 {
            assert_eq!(crc64(crc64(0, &bytes[..cut]), &bytes[cut..]), crc64(0, &bytes));
        }
    }
}
