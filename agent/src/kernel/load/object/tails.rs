//! Programs behind a program: loaded for the same hook, attached to nothing, called through a map.

use aya::maps::ProgramArray;
use aya::programs::BtfTracePoint;

use super::Object;
use crate::probe::AttachError;

impl Object {
    /// Loads a BTF tracepoint program and puts it in its place in a program array, which the object keeps.
    pub fn btf_tail(
        &mut self,
        program: &str,
        tracepoint: &str,
        map: &str,
        index: u32,
    ) -> Result<(), AttachError> {
        let btf = self.take_btf()?;
        let loaded = self.program::<BtfTracePoint>(program).and_then(|traced| {
            let step = traced.load(tracepoint, &btf).and_then(|()| Ok(traced.fd()?.try_clone()?));
            step.map_err(|error| (super::Needs::Tracing, error))
        });
        self.give_btf(btf);
        let mut descriptor = None;
        let result = loaded.map(|fd| descriptor = Some(fd));
        self.report(program, "tail", tracepoint, result)?;
        let failed = |detail: String| AttachError::Failed {
            code: "object",
            detail: format!("program array {map} of object {}: {detail}", self.probe),
        };
        let Some(fd) = descriptor else { return Err(failed("no program".into())) };
        let place = self.ebpf.map_mut(map).ok_or_else(|| failed("missing".into()))?;
        let mut array = ProgramArray::try_from(place).map_err(|error| AttachError::Failed {
            code: "object",
            detail: format!("program array {map}: {error}"),
        })?;
        array.set(index, &fd, 0).map_err(|error| AttachError::Failed {
            code: "object",
            detail: format!("program array {map}: {error}"),
        })
    }
}
