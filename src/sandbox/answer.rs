//! What the API answers, in the shapes of Django REST framework.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::fault::ErrorBody;

/// An answer that is ready to be sent.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    content_type: &'static str,
    header: Option<Header>,
    body: Bytes,
}

/// The header that some answers have, beside the content type.
#[derive(Debug)]
enum Header {
    Allow(&'static str),
    Authenticate,
    /// In seconds.
    RetryAfter(u64),
}

impl Answer {
    pub(super) fn ok() -> Self {
        Self::new(StatusCode::OK, JSON, r#"{"status": "ok"}"#)
    }

    pub(super) fn json(body: &Value) -> Self {
        Self::new(StatusCode::OK, JSON, body.to_string())
    }

    pub(super) fn csv(body: String) -> Self {
        Self::new(StatusCode::OK, "text/csv; charset=utf-8", body)
    }

    pub(super) fn bad_request(body: &Value) -> Self {
        Self::new(StatusCode::BAD_REQUEST, JSON, body.to_string())
    }

    pub(super) fn unauthorized(detail: &str) -> Self {
        Self::detail(StatusCode::UNAUTHORIZED, detail).with(Header::Authenticate)
    }

    pub(super) fn forbidden() -> Self {
        Self::detail(StatusCode::FORBIDDEN, "You do not have permission to perform this action.")
    }

    pub(super) fn not_found() -> Self {
        Self::detail(StatusCode::NOT_FOUND, "Not found.")
    }

    pub(super) fn invalid_cursor() -> Self {
        Self::detail(StatusCode::NOT_FOUND, "Invalid cursor")
    }

    pub(super) fn wrong_method(method: &Method, allowed: &'static str) -> Self {
        Self::detail(StatusCode::METHOD_NOT_ALLOWED, &format!("Method \"{method}\" not allowed."))
            .with(Header::Allow(allowed))
    }

    pub(super) fn unsupported_media_type(content_type: &str) -> Self {
        let detail = format!("Unsupported media type \"{content_type}\" in request.");
        Self::detail(StatusCode::UNSUPPORTED_MEDIA_TYPE, &detail)
    }

    pub(super) fn too_large() -> Self {
        Self::error(StatusCode::PAYLOAD_TOO_LARGE, ErrorBody::Html)
    }

    /// Says after how many whole seconds there is surely a place again.
    pub(super) fn throttled(wait: Duration) -> Self {
        let seconds = (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1);
        let unit = if seconds == 1 { "second" } else { "seconds" };
        let detail = format!("Request was throttled. Expected available in {seconds} {unit}.");
        Self::detail(StatusCode::TOO_MANY_REQUESTS, &detail).with(Header::RetryAfter(seconds))
    }

    /// An error in no shape that a client may count on.
    pub(super) fn error(status: StatusCode, body: ErrorBody) -> Self {
        let reason = status.canonical_reason().unwrap_or("Error");
        match body {
            ErrorBody::Json => Self::detail(status, reason),
            ErrorBody::Html => {
                let title = format!("{} {reason}", status.as_u16());
                let page = format!(
                    "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n\
                     <hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
                );
                Self::new(status, "text/html", page)
            }
            ErrorBody::Empty => Self::new(status, "text/plain", ""),
        }
    }

    fn detail(status: StatusCode, detail: &str) -> Self {
        Self::new(status, JSON, json!({ "detail": detail }).to_string())
    }

    fn new(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { status, content_type, header: None, body: body.into() }
    }

    fn with(self, header: Header) -> Self {
        Self { header: Some(header), ..self }
    }
}

impl Header {
    fn into_parts(self) -> (HeaderName, HeaderValue) {
        match self {
            Self::Allow(method) => (ALLOW, HeaderValue::from_static(method)),
            Self::Authenticate => (WWW_AUTHENTICATE, HeaderValue::from_static("Token")),
            Self::RetryAfter(seconds) => (RETRY_AFTER, seconds.into()),
        }
    }
}

const JSON: &str = "application/json";

impl From<Answer> for Response<Full<Bytes>> {
    fn from(answer: Answer) -> Self {
        let mut response = Self::new(Full::new(answer.body));
        *response.status_mut() = answer.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
        headers.extend(answer.header.map(Header::into_parts));
        response
    }
}
