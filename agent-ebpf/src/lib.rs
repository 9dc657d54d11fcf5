//! What the programs share; each `bin` is one ELF object, one hook family.
#![no_std]
#![feature(core_intrinsics, asm_experimental_arch)]
#![expect(internal_features, reason = "BPF's atomic add without a result is reached by an intrinsic only")]

pub mod lost;
pub mod memory;
pub mod node;
pub mod workload;

/// Ends every object: its licence, the hash of its shared structs, and the panic handler that nothing calls.
#[macro_export]
macro_rules! object {
    ($layout:expr) => {
        #[panic_handler]
        fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
            loop {}
        }

        #[unsafe(link_section = "license")]
        #[unsafe(no_mangle)]
        static LICENSE: [u8; 4] = *b"GPL\0";

        #[unsafe(link_section = "wake_layout")]
        #[unsafe(no_mangle)]
        static WAKE_LAYOUT: u64 = $layout;
    };
}
