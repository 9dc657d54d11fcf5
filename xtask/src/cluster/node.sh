# First process of a node's mount, UTS, cgroup and network namespaces: lays out its file system, then only holds them.
# Arguments: the node's name, its directory.
set -eu
name=$1 dir=$2
hostname "$name"
mount --make-rprivate /
# Directories of the node's own over the machine's: nothing is made or seen outside.
for d in var/lib var/log; do
  mkdir -p "$dir/root/$d"
  mount --bind "$dir/root/$d" "/$d"
done
mkdir -p /var/lib/kubelet /var/lib/containerd /var/lib/cni /var/log/pods /var/log/containers
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/netns /run/containerd /run/lock
# A sysfs that shows the node's network namespace.
mount -t sysfs sysfs /sys
mount -t tracefs tracefs /sys/kernel/tracing || true
mount -t bpf bpf /sys/fs/bpf
# Cgroups, mounted anew inside the cgroup namespace: the node's own subtree is the root of every hierarchy.
mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
while IFS=: read -r id controllers _; do
  case "$id:$controllers" in
    0:) mkdir /sys/fs/cgroup/unified; mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified;;
    *:name=*) mkdir "/sys/fs/cgroup/${controllers#name=}"
      mount -t cgroup -o "none,$controllers" cgroup "/sys/fs/cgroup/${controllers#name=}";;
    *) mkdir "/sys/fs/cgroup/$controllers"; mount -t cgroup -o "$controllers" cgroup "/sys/fs/cgroup/$controllers";;
  esac
done < /proc/self/cgroup
# kubelet and kube-proxy write these settings of the whole kernel: give them look-alikes, so that the machine keeps its own.
mkdir -p "$dir/sysctl"
fake() {
  [ -e "/proc/sys/$1" ] || return 0
  file=$dir/sysctl/$(echo "$1" | tr / .)
  echo "$2" > "$file"
  mount --bind "$file" "/proc/sys/$1"
}
fake vm/overcommit_memory 1
fake vm/panic_on_oom 0
fake kernel/panic 10
fake kernel/panic_on_oops 1
fake kernel/keys/root_maxkeys 1000000
fake kernel/keys/root_maxbytes 25000000
: > "$dir/resolv.conf"
mount --bind "$dir/resolv.conf" /etc/resolv.conf
mount --bind "$dir/hosts" /etc/hosts
mount --make-rshared /
: > "$dir/ready"
exec sleep 2147483647
