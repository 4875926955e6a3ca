//! The table of one listener: from path and method to page.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Body;
use tokio::time::timeout;

use super::answer::{Answer, plain};

/// How long the body of a request may take to arrive.
const BODY: Duration = Duration::from_secs(5);

/// A page.
pub(super) trait Page: Send + Sync {
    /// Returns an answer that refuses a request with these headers, before its body is read.
    fn refuse(&self, _headers: &HeaderMap) -> Option<Answer> {
        None
    }

    /// Answers a request that the table has for this page.
    fn answer<'a>(&'a self, request: &'a Request<Bytes>) -> Answering<'a>;
}

/// An answer that is being made.
pub(super) type Answering<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// What one listener serves.
#[derive(Default)]
pub(super) struct Site {
    rows: Vec<Row>,
}

struct Row {
    path: Path<'static>,
    methods: Methods,
    page: Arc<dyn Page>,
}

/// Where a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Path<'a> {
    /// At this path.
    Exact(&'a str),
    /// At every path that has no row.
    Other,
}

/// The methods that a page answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Methods {
    /// GET and HEAD.
    Read,
    /// POST.
    Write {
        /// Bytes of a request's body, at most. Bodies of other methods are not read.
        max_body: usize,
    },
    /// Every method.
    Any,
}

impl Site {
    /// Adds a row to the table.
    pub(super) fn add(&mut self, path: Path<'static>, methods: Methods, page: Arc<dyn Page>) {
        self.rows.push(Row { path, methods, page });
    }

    /// Whether nothing is served yet.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Answers with a page, or with 404 or 405 if the table has none for this path or method.
    pub(super) async fn answer<B>(&self, request: Request<B>) -> Answer
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    {
        let rows = self.rows_of(request.uri().path());
        match rows.iter().find(|row| row.methods.contain(request.method())) {
            Some(row) => {
                if let Some(refusal) = row.page.refuse(request.headers()) {
                    return refusal;
                }
                match row.methods.read(request).await {
                    Ok(request) => row.page.answer(&request).await,
                    Err(refusal) => refusal,
                }
            }
            None if rows.is_empty() => plain(StatusCode::NOT_FOUND, "404 page not found\n"),
            None => {
                let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n");
                for row in rows {
                    answer.headers_mut().append(header::ALLOW, HeaderValue::from_static(row.methods.names()));
                }
                answer
            }
        }
    }

    fn rows_of(&self, path: &str) -> Vec<&Row> {
        let at = |path: Path<'_>| self.rows.iter().filter(|row| row.path == path).collect::<Vec<_>>();
        let exact = at(Path::Exact(path));
        if exact.is_empty() { at(Path::Other) } else { exact }
    }
}

impl Methods {
    fn contain(self, method: &Method) -> bool {
        match self {
            Self::Read => matches!(*method, Method::GET | Method::HEAD),
            Self::Write { .. } => *method == Method::POST,
            Self::Any => true,
        }
    }

    /// Reads the body, if such requests have one.
    async fn read<B>(self, request: Request<B>) -> Result<Request<Bytes>, Answer>
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    {
        let Self::Write { max_body } = self else { return Ok(request.map(|_| Bytes::new())) };
        let (head, body) = request.into_parts();
        let too_long = || plain(StatusCode::PAYLOAD_TOO_LARGE, "413 the body is too long\n");
        if body.size_hint().lower() > max_body as u64 {
            return Err(too_long());
        }
        match timeout(BODY, Limited::new(body, max_body).collect()).await {
            Ok(Ok(body)) => Ok(Request::from_parts(head, body.to_bytes())),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_long()),
            Ok(Err(_)) => Err(plain(StatusCode::BAD_REQUEST, "400 the body is not complete\n")),
            Err(_) => Err(plain(StatusCode::REQUEST_TIMEOUT, "408 the body has not arrived in time\n")),
        }
    }

    /// As they are listed in `Allow`.
    fn names(self) -> &'static str {
        match self {
            Self::Read => "GET, HEAD",
            Self::Write { .. } => "POST",
            Self::Any => "*",
        }
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows.iter().map(|row| (row.path, row.methods));
        f.debug_map().entries(rows).finish()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, StreamExt as _, stream};
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;

    use super::*;
    use crate::admin::answer::{TEXT, answer};

    struct Named(&'static str);

    impl Page for Named {
        fn answer<'a>(&'a self, request: &'a Request<Bytes>) -> Answering<'a> {
            let body = [self.0.as_bytes(), request.body()].concat();
            Box::pin(async { answer(StatusCode::OK, TEXT, body) })
        }
    }

    /// The code, `Allow` and the body.
    fn ask(site: &Site, method: Method, path: &str) -> (u16, String, String) {
        ask_with(site, method, path, "")
    }

    fn ask_with(site: &Site, method: Method, path: &str, body: &'static str) -> (u16, String, String) {
        let request = Request::builder().method(method).uri(path).body(Full::from(body)).unwrap();
        let answer = site.answer(request).now_or_never().unwrap();
        let allow = answer.headers().get_all(header::ALLOW).iter().map(|value| value.to_str().unwrap());
        let allow = allow.collect::<Vec<_>>().join(", ");
        (answer.status().as_u16(), allow, String::from_utf8(answer.body().whole().to_vec()).unwrap())
    }

    #[test]
    fn a_request_is_answered_by_the_row_of_its_path_and_method() {
        let mut site = Site::default();
        site.add(Path::Exact("/read"), Methods::Read, Arc::new(Named("read")));
        site.add(Path::Exact("/any"), Methods::Any, Arc::new(Named("any")));
        let page = |name: &str| (200, String::new(), name.to_owned());
        assert_eq!(ask(&site, Method::GET, "/read?a=/any"), page("read"));
        assert_eq!(ask(&site, Method::HEAD, "/read"), page("read"));
        assert_eq!(ask(&site, Method::OPTIONS, "/any"), page("any"));
        let refused = (405, "GET, HEAD".to_owned(), "Method Not Allowed\n".to_owned());
        assert_eq!(ask(&site, Method::POST, "/read"), refused);
        for path in ["/", "/read/", "/READ", "*"] {
            assert_eq!(ask(&site, Method::GET, path), (404, String::new(), "404 page not found\n".into()));
        }
        site.add(Path::Other, Methods::Read, Arc::new(Named("other")));
        assert_eq!(ask(&site, Method::GET, "/"), page("other"));
        assert_eq!(ask(&site, Method::DELETE, "/read/"), refused);
        assert_eq!(ask(&site, Method::DELETE, "/any"), page("any"));
    }

    #[tokio::test]
    async fn only_pages_that_write_have_their_bodies_read_and_no_more_than_they_allow() {
        let mut site = Site::default();
        site.add(Path::Exact("/any"), Methods::Any, Arc::new(Named("any")));
        site.add(Path::Exact("/write"), Methods::Write { max_body: 4 }, Arc::new(Named("write ")));
        assert_eq!(ask_with(&site, Method::POST, "/any", "body"), (200, String::new(), "any".into()));
        assert_eq!(
            ask_with(&site, Method::POST, "/write", "body"),
            (200, String::new(), "write body".into())
        );
        assert_eq!(ask_with(&site, Method::POST, "/write", "a body").0, 413);
        for method in [Method::GET, Method::HEAD, Method::PUT] {
            assert_eq!(ask(&site, method, "/write").1, "POST");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_arrive_or_is_broken_is_refused() {
        let mut site = Site::default();
        site.add(Path::Exact("/write"), Methods::Write { max_body: 4 }, Arc::new(Named("write")));
        let post = async |body: StreamBody<_>| {
            let request = Request::post("/write").body(body).unwrap();
            site.answer(request).await.status().as_u16()
        };
        let frames = |frame: Result<Frame<Bytes>, &'static str>| stream::iter([frame]).boxed();
        assert_eq!(post(StreamBody::new(frames(Ok(Frame::data("body".into()))))).await, 200);
        assert_eq!(post(StreamBody::new(frames(Ok(Frame::data("a body".into()))))).await, 413);
        assert_eq!(post(StreamBody::new(frames(Err("no chunk")))).await, 400);
        assert_eq!(post(StreamBody::new(stream::pending().boxed())).await, 408);
    }
}
