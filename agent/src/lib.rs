//! wake-agent: kernel → probe → decode → identity → window → export, every stage a module.

pub mod decode;
pub mod kernel;
pub mod logs;
pub mod probe;
pub mod window;
