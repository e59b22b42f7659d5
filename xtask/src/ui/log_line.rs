//! stub
use crate::log::reader::Line;
pub struct RenderOptions { pub name_width: usize, pub colour: bool, pub terminal: bool }
pub fn render(line: &Line, o: &RenderOptions, out: &mut Vec<u8>) {
    out.extend(format!("{:w$} | ", line.service, w = o.name_width).bytes()); out.extend(&line.text); out.push(b'\n');
}
pub fn json(line: &Line) -> serde_json::Value { serde_json::json!({"service": &*line.service, "text": String::from_utf8_lossy(&line.text)}) }
