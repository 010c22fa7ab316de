//! The csv crate reads every record of the files that are named, and nothing is done with it: the least that reading
//! takes, for `benches/peers/compare.py`. Prints how many records there are after the headers.

use std::io;
use std::path::Path;

fn records(path: &Path) -> csv::Result<u64> {
    let mut reader = csv::Reader::from_path(path)?;
    let mut record = csv::ByteRecord::new();
    let mut count = 0;
    while reader.read_byte_record(&mut record)? {
        count += 1;
    }
    Ok(count)
}

fn main() -> io::Result<()> {
    // `cargo bench` adds flags of its own.
    let files = std::env::args_os().skip(1).filter(|file| !file.to_string_lossy().starts_with("--"));
    for file in files {
        #[expect(clippy::print_stdout, reason = "the count is the answer")]
        {
            println!("{}", records(Path::new(&file))?);
        }
    }
    Ok(())
}
