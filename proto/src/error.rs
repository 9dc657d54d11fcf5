//! The one error map: a closed set of codes, each with its gRPC and HTTP status and whether to try again.

/// Why a request was not served. The name (`as_str`) is what metrics, refusals and JSON errors carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The batch, query or parameter cannot be understood; repeating it is useless.
    Invalid,
    /// Larger than a stated limit.
    TooLarge,
    /// The other side speaks a version that this one does not.
    UnsupportedVersion,
    /// The write-ahead log is at its hard limit.
    WalFull,
    /// The head is at its memory limit.
    HeadFull,
    /// The disk is at its limit.
    DiskFull,
    /// Too many requests at once.
    Busy,
    /// Stopping or not yet ready.
    Unavailable,
    /// The time limit of a query passed.
    Timeout,
    /// The memory limit of a query was reached.
    Memory,
    /// There is no such thing.
    NotFound,
    /// Who asks or sends has not proved who they are: no token or certificate, or one that is not valid (any more).
    Unauthenticated,
    /// Who asks or sends is known and may not do this.
    Forbidden,
    /// A defect of Wake's own.
    Internal,
}

impl ErrorCode {
    /// Every code, in the order of the enum.
    pub const ALL: [Self; 14] = [
        Self::Invalid,
        Self::TooLarge,
        Self::UnsupportedVersion,
        Self::WalFull,
        Self::HeadFull,
        Self::DiskFull,
        Self::Busy,
        Self::Unavailable,
        Self::Timeout,
        Self::Memory,
        Self::NotFound,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::Internal,
    ];

    /// The stable name on the wire, in metrics and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::TooLarge => "too_large",
            Self::UnsupportedVersion => "unsupported_version",
            Self::WalFull => "wal_full",
            Self::HeadFull => "head_full",
            Self::DiskFull => "disk_full",
            Self::Busy => "busy",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Memory => "memory",
            Self::NotFound => "not_found",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::Internal => "internal",
        }
    }

    /// The HTTP status.
    pub fn http_status(self) -> u16 {
        match self {
            Self::Invalid => 400,
            Self::TooLarge => 413,
            Self::UnsupportedVersion => 400,
            Self::WalFull | Self::HeadFull | Self::Unavailable => 503,
            Self::DiskFull => 507,
            Self::Busy => 429,
            Self::Timeout => 504,
            Self::Memory => 422,
            Self::NotFound => 404,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::Internal => 500,
        }
    }

    /// The gRPC status.
    pub fn grpc_code(self) -> tonic::Code {
        match self {
            Self::Invalid | Self::TooLarge => tonic::Code::InvalidArgument,
            Self::UnsupportedVersion => tonic::Code::FailedPrecondition,
            Self::WalFull | Self::HeadFull | Self::DiskFull | Self::Busy | Self::Memory => {
                tonic::Code::ResourceExhausted
            }
            Self::Unavailable => tonic::Code::Unavailable,
            Self::Timeout => tonic::Code::DeadlineExceeded,
            Self::NotFound => tonic::Code::NotFound,
            Self::Unauthenticated => tonic::Code::Unauthenticated,
            Self::Forbidden => tonic::Code::PermissionDenied,
            Self::Internal => tonic::Code::Internal,
        }
    }

    /// Whether the same request may succeed later without being changed.
    pub fn is_retryable(self) -> bool {
        match self {
            Self::WalFull
            | Self::HeadFull
            | Self::DiskFull
            | Self::Busy
            | Self::Unavailable
            | Self::Timeout => true,
            Self::Invalid
            | Self::TooLarge
            | Self::UnsupportedVersion
            | Self::Memory
            | Self::NotFound
            | Self::Unauthenticated
            | Self::Forbidden
            | Self::Internal => false,
        }
    }

    /// The code with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::ErrorCode;

    #[test]
    fn every_name_finds_its_code_again() {
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_name(code.as_str()), Some(code));
        }
    }
}
