//! The promises that clients got, for a comparison at the end.

use std::sync::Mutex;

use crate::{Answer, Client, Uploaded, noise};

/// An upload that was answered with 201. Its content is computed again when it is needed.
#[derive(Debug, Clone)]
pub struct Promise {
    pub id: String,
    pub path: String,
    seed: u64,
    length: usize,
}

impl Promise {
    pub fn content(&self) -> Vec<u8> {
        noise(self.seed, self.length)
    }
}

/// All promises of a test. Several client threads write into it.
#[derive(Debug, Default)]
pub struct Ledger {
    promises: Mutex<Vec<Promise>>,
}

impl Ledger {
    /// Uploads; only a 201 is a promise. `Err` if there was no answer, or another one.
    pub fn try_upload(
        &self,
        client: &Client,
        seed: u64,
        length: usize,
    ) -> Result<(), Option<Box<Answer>>> {
        let answer = try_post(client, "application/octet-stream", &noise(seed, length))?;
        self.enter(Uploaded::read(&answer), seed, length);
        Ok(())
    }

    /// Uploads files of one length in one form, as [`Ledger::try_upload`] does one.
    pub fn try_upload_form(
        &self,
        client: &Client,
        seeds: &[u64],
        length: usize,
    ) -> Result<(), Option<Box<Answer>>> {
        let head = "--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\n";
        let mut body = Vec::new();
        for seed in seeds {
            body.extend([head.as_bytes(), &noise(*seed, length), b"\r\n"].concat());
        }
        body.extend(b"--x--\r\n");
        let answer = try_post(client, "multipart/form-data; boundary=x", &body)?.json();
        let files = answer["files"].as_array().expect("files");
        assert_eq!(files.len(), seeds.len(), "{answer}");
        for (file, seed) in files.iter().zip(seeds) {
            self.enter(Uploaded::of(file), *seed, length);
        }
        Ok(())
    }

    /// Uploads and expects a promise.
    pub fn upload(&self, client: &Client, seed: u64, length: usize) -> Promise {
        let uploaded = client.upload(&noise(seed, length));
        self.enter(uploaded, seed, length)
    }

    /// Records a promise from another source.
    pub fn enter(&self, uploaded: Uploaded, seed: u64, length: usize) -> Promise {
        let promise = Promise {
            id: uploaded.id,
            path: uploaded.path,
            seed,
            length,
        };
        let mut promises = self.promises.lock().expect("the ledger");
        promises.push(promise.clone());
        promise
    }

    /// Removes a file from the expected ones.
    pub fn forget(&self, gone: &Promise) {
        let mut promises = self.promises.lock().expect("the ledger");
        promises.retain(|promise| promise.id != gone.id);
    }

    /// One of the promises, by any number.
    pub fn any(&self, number: usize) -> Option<Promise> {
        let promises = self.promises.lock().expect("the ledger");
        let place = number.checked_rem(promises.len())?;
        promises.get(place).cloned()
    }

    pub fn len(&self) -> usize {
        self.promises.lock().expect("the ledger").len()
    }

    pub fn promises(&self) -> Vec<Promise> {
        self.promises.lock().expect("the ledger").clone()
    }

    /// Asserts that every promised file can be read with its bytes.
    pub fn assert_readable(&self, client: &Client) {
        for promise in self.promises() {
            let answer = client.get(&promise.path);
            assert_eq!(answer.status, 200, "{promise:?}");
            assert!(answer.body == promise.content(), "{promise:?}");
        }
    }
}

/// The promise that an upload got.
fn try_post(
    client: &Client,
    content_type: &str,
    body: &[u8],
) -> Result<Answer, Option<Box<Answer>>> {
    let answer = client.try_post("/files", &[("Content-Type", content_type)], body);
    let answer = answer.map_err(|_| None)?;
    if answer.status == 201 {
        Ok(answer)
    } else {
        Err(Some(Box::new(answer)))
    }
}
