#!/bin/sh
# PID 1 of the emulated machine: mounts what a host has, runs the kernel tests, says how they ended, powers off.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc p /proc
mount -t sysfs s /sys
mount -t devtmpfs d /dev
mkdir -p /dev/shm /run/netns /var/run
mount -t tmpfs t /tmp
mount -t tmpfs r /run
mkdir -p /run/netns
mount -t cgroup2 c /sys/fs/cgroup
mount -t bpf b /sys/fs/bpf
for controller in cpu memory io pids; do
    echo "+$controller" > /sys/fs/cgroup/cgroup.subtree_control
done
ulimit -l unlimited
ulimit -n 65536
hostname emulated
while read -r module; do
    insmod "$module" || echo "insmod $module failed"
done < /modules.order
ip link set lo up
# tests know that time here runs ten times slower than work
export WAKE_EMULATED=1 RUST_BACKTRACE=1
[ -x /bin/go-pair ] && export WAKE_GO_PAIR=/bin/go-pair
kernel-tests --nocapture --test-threads=1 $(cat /test-filter) > /dev/ttyS1 2>&1
echo "wake-exit: $?" > /dev/ttyS1
sleep 1
poweroff -f
