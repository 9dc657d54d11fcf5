//! Places in a function's machine code: where it returns, and where a program costs least at its begin.
//!
//! The kernel acts for some instructions itself (push, nop, jumps); others it must let the processor step over, which
//! takes ten times as long.

use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};

/// Most bytes of a function that is read.
pub const MOST_CODE: usize = 64 * 1024;
/// Most returns of a function.
const MOST_RETURNS: usize = 64;
/// Instructions from the begin among which the first cheap one is looked for.
const MOST_BEGIN: usize = 8;

/// Places in a Go function, as offsets from its begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoCode {
    /// Behind the check for room on the stack, which begins the function anew when it made some.
    pub begin: u64,
    /// Each return.
    pub returns: Vec<u64>,
}

/// Looks through a whole Go function; `None` where its code is not what Go's compiler makes: first the check, and behind it
/// the frame, which is `push rbp` since Go 1.21 and was `sub rsp` before, where the kernel has to step.
pub fn go(code: &[u8]) -> Option<GoCode> {
    let mut decoder = Decoder::with_ip(64, code, 0, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    let (mut begin, mut is_checked) = (None, false);
    let (mut returns, mut index) = (Vec::new(), 0);
    while decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        if instruction.is_invalid() {
            return None;
        }
        if begin.is_none() {
            if is_checked && makes_frame(&instruction) {
                begin = Some(instruction.ip());
            }
            // of a large frame there are two checks
            is_checked = is_conditional_jump(instruction.mnemonic());
            index += 1;
            if begin.is_none() && index >= MOST_BEGIN {
                return None;
            }
        }
        if instruction.mnemonic() == Mnemonic::Ret {
            returns.push(instruction.ip());
            if returns.len() > MOST_RETURNS {
                return None;
            }
        }
    }
    let begin = begin?;
    (!returns.is_empty()).then_some(GoCode { begin, returns })
}

/// The stack pointer is still that of the call when it begins.
fn makes_frame(instruction: &Instruction) -> bool {
    match instruction.mnemonic() {
        Mnemonic::Push => instruction.op0_register() == Register::RBP,
        Mnemonic::Sub => {
            instruction.op0_register() == Register::RSP && instruction.op1_kind() != OpKind::Register
        }
        _ => false,
    }
}

/// Of a C function: the first instruction that the kernel acts for, on the way that is always taken, before the stack
/// pointer or an argument has changed; 0, the begin, where there is none.
pub fn cheap(code: &[u8]) -> u64 {
    let mut decoder = Decoder::with_ip(64, code, 0, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    for _ in 0..MOST_BEGIN {
        if !decoder.can_decode() {
            return 0;
        }
        decoder.decode_out(&mut instruction);
        if instruction.is_invalid() {
            return 0;
        }
        if is_cheap(&instruction) {
            return instruction.ip();
        }
        if !leaves_arguments(&instruction) {
            return 0;
        }
    }
    0
}

fn is_cheap(instruction: &Instruction) -> bool {
    match instruction.mnemonic() {
        Mnemonic::Push => instruction.op0_kind() == OpKind::Register,
        Mnemonic::Nop => instruction.len() == 1,
        other => is_conditional_jump(other),
    }
}

fn is_conditional_jump(mnemonic: Mnemonic) -> bool {
    use Mnemonic::{Ja, Jae, Jb, Jbe, Je, Jg, Jge, Jl, Jle, Jne, Jno, Jnp, Jns, Jo, Jp, Js};
    matches!(mnemonic, Ja | Jae | Jb | Jbe | Je | Jg | Jge | Jl | Jle | Jne | Jno | Jnp | Jns | Jo | Jp | Js)
}

/// Whether registers that the programs read are the same behind it. Few are known: those that compilers put there.
fn leaves_arguments(instruction: &Instruction) -> bool {
    match instruction.mnemonic() {
        Mnemonic::Endbr64 | Mnemonic::Test | Mnemonic::Cmp => true,
        Mnemonic::Xor | Mnemonic::Mov | Mnemonic::Lea => {
            let free = [
                Register::RAX,
                Register::EAX,
                Register::R8D,
                Register::R9D,
                Register::R10D,
                Register::R11D,
                Register::R10,
                Register::R11,
            ];
            instruction.op0_kind() == OpKind::Register && free.contains(&instruction.op0_register())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::go::VERSIONS;
    use super::{GoCode, cheap, go};

    #[test]
    fn a_go_function_is_entered_behind_its_check_and_left_at_each_return() {
        // cmp rsp, [r14+16]; jbe; push rbp; mov rbp, rsp; pop rbp; ret; pop rbp; ret
        let code = b"\x49\x3b\x66\x10\x76\x0a\x55\x48\x89\xe5\x5d\xc3\x5d\xc3";
        assert_eq!(go(code), Some(GoCode { begin: 6, returns: vec![11, 13] }));
        // what is no such function: no check, no return, no instruction
        assert_eq!(go(b"\x55\x48\x89\xe5\x5d\xc3"), None);
        assert_eq!(go(&code[..10]), None);
        assert_eq!(go(b"\x49\x3b\x66\x10\x76\x0a\x55\x06\xc3"), None);
        assert_eq!(go(b""), None);
    }

    /// Functions as Go's compilers have made them, cut out of real programs; what is expected of them is objdump's word
    /// (`docs/journal/2026-11-22-go-versions.md`).
    #[test]
    fn functions_of_every_go_version_are_entered_behind_their_check() {
        // minor version, and the returns of each
        let versions = [
            (18, [7, 8, 9]),
            (19, [7, 8, 9]),
            (20, [7, 8, 9]),
            (21, [7, 8, 9]),
            (22, [7, 8, 9]),
            (23, [7, 8, 8]),
            (24, [7, 8, 8]),
            (25, [7, 8, 7]),
            (26, [7, 8, 8]),
        ];
        assert_eq!(versions.map(|(minor, _)| minor).to_vec(), VERSIONS.collect::<Vec<_>>());
        for (minor, returns) in versions {
            // the larger the frame, the longer the check in front of it
            let functions = [("Read", 0x0a), ("Write", 0x0f), ("roundTrip", 0x12)];
            for ((name, begin), returns) in functions.into_iter().zip(returns) {
                let name = format!("go1.{minor}-{name}");
                let place = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/tls_binary");
                let code = std::fs::read(std::path::Path::new(place).join(&name)).unwrap();
                let found = go(&code).unwrap_or_else(|| panic!("{name}"));
                assert_eq!((found.begin, found.returns.len()), (begin, returns), "{name}");
                assert!(found.returns.iter().all(|at| code[*at as usize] == 0xc3), "{name}");
                // the frame: `push rbp`, before 1.21 `sub rsp`
                let frame: &[&[u8]] =
                    if minor < 21 { &[b"\x48\x83\xec", b"\x48\x81\xec"] } else { &[b"\x55"] };
                let behind = &code[begin as usize..];
                assert!(frame.iter().any(|bytes| behind.starts_with(bytes)), "{name}");
            }
        }
    }

    #[test]
    fn a_return_in_the_middle_of_an_instruction_is_none() {
        // mov eax, 0xc3c3c3c3 holds the byte of a return
        let code = b"\x49\x3b\x66\x10\x76\x0a\x55\xb8\xc3\xc3\xc3\xc3\xc3";
        assert_eq!(go(code), Some(GoCode { begin: 6, returns: vec![12] }));
    }

    #[test]
    fn the_first_cheap_instruction_before_anything_changed_is_taken() {
        // endbr64; push r12
        assert_eq!(cheap(b"\xf3\x0f\x1e\xfa\x41\x54\xc3"), 4);
        // endbr64; test edx, edx; js
        assert_eq!(cheap(b"\xf3\x0f\x1e\xfa\x85\xd2\x78\x20\xc3"), 6);
        // endbr64; sub rsp, 24; push rbx: the return address is elsewhere by then
        assert_eq!(cheap(b"\xf3\x0f\x1e\xfa\x48\x83\xec\x18\x53"), 0);
        // mov rdi, rsi changes an argument
        assert_eq!(cheap(b"\x48\x89\xf7\x53"), 0);
        assert_eq!(cheap(b""), 0);
    }
}
