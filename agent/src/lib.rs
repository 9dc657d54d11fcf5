//! wake-agent: kernel → probe → decode → identity → window → export, every stage a module.

pub mod config;
pub mod decode;
pub mod export;
pub mod files;
pub mod identity;
pub mod kernel;
pub mod logs;
pub mod metrics;
pub mod probe;
pub mod window;
