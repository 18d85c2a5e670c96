//! The plain way: a web server that streams bodies through the driver's GridFS streams, as the
//! manuals of both show it. The same server is also the least server, which keeps a spooled body in
//! the fewest steps. It runs as a process of its own, behind an nginx.

use std::path::PathBuf;
use std::{fs, io};

use actix_web::http::header;
use actix_web::web::{self, Bytes, Data, Path, Payload};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, error};
use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _, stream};
use mongodb::bson::oid::ObjectId;
use mongodb::gridfs::{FilesCollectionDocument, GridFsBucket};
use mongodb::{Client, bson::doc};

const WORKERS: usize = 2;

/// The least server syncs uploads below this path.
pub(crate) const DURABLE: &str = "durable";

/// The bytes of one read from the driver's stream.
const PIECE: usize = 256 * 1024;

/// Serves on a unix socket until the process ends.
pub(crate) fn serve(socket: &str, uri: &str, databases: (&str, &str)) -> io::Result<()> {
    actix_web::rt::System::new().block_on(async {
        let client = Client::with_uri_str(uri).await.map_err(io::Error::other)?;
        let written = client.database(databases.0).gridfs_bucket(None);
        let read = client.database(databases.1).gridfs_bucket(None);
        let buckets = Data::new(Buckets { written, read });
        HttpServer::new(move || {
            App::new()
                .app_data(buckets.clone())
                .route("/files/{name}", web::put().to(upload))
                .route("/files/{id}", web::get().to(download))
                .route("/check", web::get().to(HttpResponse::NoContent))
                .route("/keep/{path:.*}", web::put().to(keep))
        })
        .workers(WORKERS)
        .bind_uds(socket)?
        .run()
        .await
    })
}

/// Uploads and downloads have a bucket each: downloads read files that gridspool committed.
struct Buckets {
    written: GridFsBucket,
    read: GridFsBucket,
}

async fn upload(
    name: Path<String>,
    mut body: Payload,
    buckets: Data<Buckets>,
) -> actix_web::Result<HttpResponse> {
    let upload = buckets.written.open_upload_stream(name.as_str());
    let mut upload = upload.await.map_err(error::ErrorInternalServerError)?;
    while let Some(piece) = body.next().await {
        upload.write_all(&piece?).await?;
    }
    upload.close().await?;
    let id = upload.id().as_object_id().map(ObjectId::to_hex);
    let place = format!("/files/{}", id.unwrap_or_default());
    Ok(HttpResponse::Created()
        .insert_header((header::LOCATION, place))
        .finish())
}

/// Keeps a file that nginx has spooled, in the fewest steps: the file gets a name of its own, and a
/// record of it appears whole. Below [`DURABLE`] it first syncs the file, as every server that
/// promises durability must.
async fn keep(request: HttpRequest, path: Path<String>) -> actix_web::Result<HttpResponse> {
    let is_durable = path.starts_with(DURABLE);
    let spooled = request.headers().get("x-body-file");
    let spooled = spooled.and_then(|path| path.to_str().ok());
    let spooled = PathBuf::from(spooled.ok_or_else(|| error::ErrorBadRequest("no file"))?);
    web::block(move || {
        let id = ObjectId::new().to_hex();
        let rooms = spooled.ancestors().nth(2).unwrap_or(&spooled);
        let place = |room: &str| rooms.join(room).join(&id);
        if is_durable {
            fs::File::open(&spooled)?.sync_all()?;
        }
        fs::hard_link(&spooled, place("body"))?;
        fs::write(place("tmp"), "a record")?;
        fs::rename(place("tmp"), place("incoming"))
    })
    .await??;
    Ok(HttpResponse::Created().finish())
}

async fn download(id: Path<String>, buckets: Data<Buckets>) -> actix_web::Result<HttpResponse> {
    let id = ObjectId::parse_str(id.as_str()).map_err(error::ErrorNotFound)?;
    let found = buckets.read.find_one(doc! { "_id": id }).await;
    let found: Option<FilesCollectionDocument> = found.map_err(error::ErrorInternalServerError)?;
    let length = found
        .ok_or_else(|| error::ErrorNotFound("no such file"))?
        .length;
    let opened = buckets.read.open_download_stream(id.into()).await;
    let opened = opened.map_err(error::ErrorInternalServerError)?;
    let pieces = stream::try_unfold(opened, |mut opened| async move {
        let mut piece = vec![0; PIECE];
        let read = opened.read(&mut piece).await?;
        piece.truncate(read);
        let next = (read > 0).then(|| (Bytes::from(piece), opened));
        Ok::<_, io::Error>(next)
    });
    Ok(HttpResponse::Ok().no_chunking(length).streaming(pieces))
}
