//! Classes of syscalls: latency is kept per class, so that waiting does not hide in working.

/// Class names; a program finds the index in the map `CLASSES`.
pub(super) const CLASSES: &[&str] = &[
    "read", "write", "open", "stat", "sync", "file", "net", "poll", "futex", "sleep", "memory", "process",
    "sched", "signal", "time", "exit", "other",
];

/// Members of each class but the last, in the order of `CLASSES`; blanks between names.
pub(super) const MEMBERS: &[&str] = &[
    "read readv pread64 preadv preadv2 sendfile sendfile64 splice tee copy_file_range getrandom readahead \
     getdents getdents64 readlink readlinkat getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr \
     getxattrat listxattrat readdir",
    "write writev pwrite64 pwritev pwritev2 vmsplice fallocate truncate ftruncate truncate64 ftruncate64 \
     setxattr lsetxattr fsetxattr setxattrat",
    "open openat openat2 creat close close_range dup dup2 dup3 pipe pipe2 memfd_create eventfd eventfd2 \
     signalfd signalfd4 timerfd_create epoll_create epoll_create1 inotify_init inotify_init1 \
     fanotify_init open_by_handle_at name_to_handle_at fcntl fcntl64 ioctl lseek _llseek",
    "stat lstat fstat newfstatat fstatat64 stat64 lstat64 fstat64 statx oldstat oldlstat oldfstat access \
     faccessat faccessat2 statfs fstatfs statfs64 fstatfs64 getcwd ustat cachestat statmount listmount",
    "fsync fdatasync sync syncfs sync_file_range msync",
    "mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 link linkat symlink symlinkat mknod \
     mknodat chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat chown32 fchown32 lchown32 utime \
     utimes utimensat futimesat chdir fchdir chroot mount umount umount2 pivot_root flock removexattr \
     lremovexattr fremovexattr removexattrat inotify_add_watch inotify_rm_watch fanotify_mark umask \
     move_mount fsopen fsmount fsconfig fspick open_tree open_tree_attr mount_setattr file_getattr \
     file_setattr swapon swapoff quotactl quotactl_fd",
    "socket socketpair connect accept accept4 bind listen shutdown sendto sendmsg sendmmsg recvfrom \
     recvmsg recvmmsg getsockname getpeername setsockopt getsockopt socketcall",
    "poll ppoll select pselect6 _newselect epoll_wait epoll_pwait epoll_pwait2 epoll_wait_old epoll_ctl \
     epoll_ctl_old io_getevents io_pgetevents io_uring_enter ppoll_time64 pselect6_time64 recvmmsg_time64 \
     io_pgetevents_time64",
    "futex futex_waitv futex_wake futex_wait futex_requeue futex_time64 get_robust_list set_robust_list \
     semop semget semctl semtimedop semtimedop_time64 membarrier",
    "nanosleep clock_nanosleep pause wait4 waitid waitpid rt_sigtimedwait rt_sigsuspend sigsuspend \
     restart_syscall clock_nanosleep_time64 rt_sigtimedwait_time64 msgrcv mq_timedreceive \
     mq_timedreceive_time64",
    "mmap mmap2 munmap mremap mprotect madvise brk mlock mlock2 munlock mlockall munlockall mincore mbind \
     get_mempolicy set_mempolicy set_mempolicy_home_node migrate_pages move_pages pkey_mprotect \
     pkey_alloc pkey_free remap_file_pages process_madvise process_mrelease memfd_secret userfaultfd \
     shmget shmat shmdt shmctl map_shadow_stack mseal",
    "clone clone3 fork vfork execve execveat kill tkill tgkill ptrace prctl arch_prctl setpgid setsid \
     getpid getppid gettid getpgid getpgrp getsid set_tid_address unshare setns pidfd_open \
     pidfd_send_signal pidfd_getfd process_vm_readv process_vm_writev kcmp seccomp setpriority \
     getpriority nice prlimit64 getrlimit setrlimit ugetrlimit getrusage times getuid geteuid getgid \
     getegid setuid setgid setreuid setregid setresuid getresuid setresgid getresgid setfsuid setfsgid \
     getgroups setgroups getuid32 geteuid32 getgid32 getegid32 setuid32 setgid32 capget capset \
     personality rseq acct modify_ldt set_thread_area get_thread_area",
    "sched_yield sched_setparam sched_getparam sched_setscheduler sched_getscheduler \
     sched_get_priority_max sched_get_priority_min sched_rr_get_interval sched_setaffinity \
     sched_getaffinity sched_setattr sched_getattr getcpu ioprio_set ioprio_get",
    "rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigqueueinfo rt_tgsigqueueinfo sigaltstack \
     sigaction sigprocmask sigreturn sigpending signal alarm setitimer getitimer",
    "gettimeofday settimeofday time stime clock_gettime clock_settime clock_getres clock_adjtime adjtimex \
     timer_create timer_settime timer_gettime timer_getoverrun timer_delete timerfd_settime \
     timerfd_gettime clock_gettime64 clock_settime64 clock_getres_time64 timer_gettime64 timer_settime64 \
     timerfd_gettime64 timerfd_settime64 clock_adjtime64",
    "exit exit_group",
];
