//! What is put into a container, as the tar that the engine takes.

use std::path::PathBuf;

use tokio::io::AsyncWriteExt;

/// What is put into a container.
pub enum Archive {
    Local { from: PathBuf, name: String },
    Content { name: String, content: Vec<u8> },
}

impl Archive {
    /// Everything belongs to the server's account, and is for it alone.
    pub async fn pack(self, to: tokio::io::DuplexStream, ids: (u64, u64)) -> std::io::Result<()> {
        let mut builder = tokio_tar::Builder::new(to);
        match self {
            Archive::Content { name, content } => {
                let mut header = header(ids, tokio_tar::EntryType::Regular);
                header.set_size(content.len() as u64);
                builder.append_data(&mut header, &name, content.as_slice()).await?;
            }
            Archive::Local { from, name } => {
                let mut to_do = vec![(from, PathBuf::from(name))];
                while let Some((from, name)) = to_do.pop() {
                    let found = tokio::fs::metadata(&from).await?;
                    if found.is_dir() {
                        let mut header = header(ids, tokio_tar::EntryType::Directory);
                        builder.append_data(&mut header, &name, tokio::io::empty()).await?;
                        let mut entries = tokio::fs::read_dir(&from).await?;
                        while let Some(entry) = entries.next_entry().await? {
                            to_do.push((entry.path(), name.join(entry.file_name())));
                        }
                    } else {
                        let mut header = header(ids, tokio_tar::EntryType::Regular);
                        header.set_size(found.len());
                        builder.append_data(&mut header, &name, tokio::fs::File::open(&from).await?).await?;
                    }
                }
            }
        }
        builder.into_inner().await?.shutdown().await
    }
}

fn header(ids: (u64, u64), kind: tokio_tar::EntryType) -> tokio_tar::Header {
    let mut header = tokio_tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_uid(ids.0);
    header.set_gid(ids.1);
    header.set_mode(if kind == tokio_tar::EntryType::Directory { 0o700 } else { 0o600 });
    header.set_size(0);
    header
}
