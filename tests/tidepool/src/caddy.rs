//! Caddy's configuration and the call that loads it through the admin API.
//! One attempt only: how often and how long is the server's decision.

use std::path::Path;

use serde_json::{Value, json};

use crate::fetch::Client;

/// What Caddy shall serve.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    /// The built client, an absolute path.
    pub root: &'a Path,
    /// Where the API listens.
    pub api_port: u16,
    /// Where the client and the API are served.
    pub port: u16,
    /// Where Caddy answers that it is well.
    pub health_port: u16,
}

/// Why Caddy did not take the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaddyError {
    /// No answer, perhaps not yet; the cause.
    NotUp(String),
    /// What it said.
    Refused(String),
}

/// Loads the configuration for `site` through the admin API at `admin`, a URL without a trailing slash.
pub fn load(client: &Client, admin: &str, site: Site<'_>) -> Result<(), CaddyError> {
    // What is loaded replaces everything, the admin endpoint included, unless we hand it back.
    // (A Caddy without any configuration says null, and then keeps its default.)
    let now = client.get(&format!("{admin}/config/")).map_err(CaddyError::NotUp)?;
    let now: Value = serde_json::from_slice(&now.body).unwrap_or(Value::Null);
    let body = config(site, now["admin"].clone()).to_string().into_bytes();
    let answer = client
        .post_json(&format!("{admin}/load"), body)
        .map_err(CaddyError::NotUp)?;
    if answer.ok() {
        return Ok(());
    }
    let said: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    Err(CaddyError::Refused(
        said["error"].as_str().map_or_else(|| answer.text(), str::to_string),
    ))
}

fn config(site: Site<'_>, admin: Value) -> Value {
    let root = site.root.to_string_lossy();
    let api = json!({
        "match": [{"path": ["/api/*"]}],
        "handle": [{"handler": "reverse_proxy", "upstreams": [{"dial": format!("localhost:{}", site.api_port)}]}],
        "terminal": true,
    });
    // A path that is no file is one of the client's own routes: its page answers. Only a missing asset is missing.
    let page = json!({
        "match": [{
            "not": [{"path": ["/assets/*"]}],
            "file": {"root": root, "try_files": ["{http.request.uri.path}", "/index.html"]},
        }],
        "handle": [{"handler": "rewrite", "uri": "{http.matchers.file.relative}"}],
    });
    let files = json!({"handle": [{"handler": "file_server", "root": root}]});
    let health = json!({"handle": [{"handler": "static_response", "status_code": 200, "body": "caddy: ok\n"}]});
    let server = |port: u16, routes: Value| json!({"listen": [format!(":{port}")], "automatic_https": {"disable": true}, "routes": routes});
    let mut config = json!({
        "apps": {"http": {"servers": {
            "app": server(site.port, json!([api, page, files])),
            "health": server(site.health_port, json!([health])),
        }}}
    });
    if admin.is_object() {
        config["admin"] = admin;
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> Site<'static> {
        Site {
            root: Path::new("/srv/client"),
            api_port: 7163,
            port: 8080,
            health_port: 8081,
        }
    }

    #[test]
    fn the_admin_endpoint_is_handed_back_as_it_was() {
        let admin = json!({"listen": "localhost:2020"});
        assert_eq!(config(site(), admin.clone())["admin"], admin);
        assert_eq!(config(site(), Value::Null).get("admin"), None);
    }

    #[test]
    fn the_api_comes_before_the_page() {
        let config = config(site(), Value::Null);
        let app = &config["apps"]["http"]["servers"]["app"];
        assert_eq!(app["listen"], json!([":8080"]));
        assert_eq!(app["routes"][0]["match"][0]["path"], json!(["/api/*"]));
        assert_eq!(app["routes"][0]["handle"][0]["upstreams"][0]["dial"], "localhost:7163");
        assert_eq!(app["routes"][2]["handle"][0]["root"], "/srv/client");
    }
}
