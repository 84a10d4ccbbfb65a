// The yardstick: a star lab of N namespaces around one bridge, by raw batched netlink from one process.
// usage: limit N [THREADS [BATCH [tuned | steps]]]   (THREADS: for making namespaces). Needs root. Prints milliseconds by phase.
// tuned: the bridge comes up last (no flood of IPv6 multicast while ports join), veths have one queue, indices are chosen here.
// steps: in the order in which a script does it: the bridge is up first, then each node is finished before the next is begun, one
// message a call; one queue and chosen indices as with tuned. THREADS and BATCH do not matter.
// The lab: namespace PREFIXsw holds br0 (up) and ports p0..pN-1 (up, on br0); namespace PREFIXi holds lo and eth0, both up,
// eth0 with 10.x.y.z/8. The same lab as star.sh, batch.sh, pyroute2_star.py and mininet_star.py.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <fcntl.h>
#include <unistd.h>
#include <time.h>
#include <pthread.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <sys/resource.h>
#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/if_link.h>
#include <linux/veth.h>
#include <linux/if.h>

#define DIR "/run/netns"
#define BRIDGE_INDEX 1000000
typedef struct { char buf[65536]; int len, n; struct nlmsghdr *cur; } Batch;
static int N, T = 1, tuned, steps, *sock, *nsfd;

static double cpu(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e3 + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e3;
}
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1e3 + t.tv_nsec / 1e6; }
static void die(const char *s) { perror(s); exit(1); }

static int nl_open(void) {
    int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), v = 1 << 20;
    if (s < 0) die("socket");
    setsockopt(s, SOL_SOCKET, SO_RCVBUF, &v, sizeof v);
    v = 1;
    setsockopt(s, SOL_NETLINK, NETLINK_CAP_ACK, &v, sizeof v);
    return s;
}
static void *start(Batch *b, int type, int flags, int size) {
    struct nlmsghdr *h = (void *)(b->buf + b->len);
    memset(h, 0, NLMSG_SPACE(size));
    h->nlmsg_type = type; h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags; h->nlmsg_len = NLMSG_LENGTH(size);
    b->cur = h;
    return NLMSG_DATA(h);
}
static struct rtattr *attr(Batch *b, int type, const void *data, int len) {
    struct nlmsghdr *h = b->cur;
    struct rtattr *a = (void *)((char *)h + NLMSG_ALIGN(h->nlmsg_len));
    a->rta_type = type; a->rta_len = RTA_LENGTH(len);
    if (len) memcpy(RTA_DATA(a), data, len);
    h->nlmsg_len = NLMSG_ALIGN(h->nlmsg_len) + RTA_ALIGN(a->rta_len);
    return a;
}
static void nest_end(Batch *b, struct rtattr *a) { a->rta_len = (char *)b->cur + b->cur->nlmsg_len - (char *)a; }
static void end(Batch *b) { b->len += NLMSG_ALIGN(b->cur->nlmsg_len); b->n++; }
static void flush(int s, Batch *b) {
    static char r[65536];
    if (b->n && send(s, b->buf, b->len, 0) < 0) die("send");
    for (int left = b->n; left > 0;) {
        int k = recv(s, r, sizeof r, 0);
        if (k < 0) die("recv");
        for (struct nlmsghdr *h = (void *)r; NLMSG_OK(h, k); h = NLMSG_NEXT(h, k))
            if (h->nlmsg_type == NLMSG_ERROR) {
                struct nlmsgerr *e = NLMSG_DATA(h);
                if (e->error) { fprintf(stderr, "netlink: %s\n", strerror(-e->error)); exit(1); }
                left--;
            }
    }
    b->len = b->n = 0;
}
static struct ifinfomsg *link_msg(Batch *b, int flags, int index, int up) {
    struct ifinfomsg *m = start(b, RTM_NEWLINK, flags, sizeof *m);
    m->ifi_index = index;
    if (up) m->ifi_flags = m->ifi_change = IFF_UP;
    return m;
}
static void make_ns(int i) {
    char p[64];
    sprintf(p, DIR "/limit%d", i);
    int f = open(p, O_RDONLY | O_CREAT | O_EXCL, 0);
    if (f < 0) die(p);
    close(f);
    if (unshare(CLONE_NEWNET)) die("unshare");
    sock[i] = nl_open();
    if (mount("/proc/thread-self/ns/net", p, "none", MS_BIND, 0)) die("mount");
    nsfd[i] = open(p, O_RDONLY | O_CLOEXEC);
}
static void *worker(void *a) { for (int i = (int)(long)a; i <= N; i += T) make_ns(i); return 0; }

static void bridge(Batch *b) {
    link_msg(b, NLM_F_CREATE | NLM_F_EXCL, BRIDGE_INDEX, !tuned);
    attr(b, IFLA_IFNAME, "br0", 4);
    struct rtattr *li = attr(b, IFLA_LINKINFO, 0, 0);
    attr(b, IFLA_INFO_KIND, "bridge", 6);
    nest_end(b, li); end(b); flush(sock[N], b);
}
static void veth(Batch *b, int i) {
    char name[16]; int master = BRIDGE_INDEX;
    unsigned one = 1;
    link_msg(b, NLM_F_CREATE | NLM_F_EXCL, tuned || steps ? 1000 + i : 0, 1);
    attr(b, IFLA_IFNAME, name, sprintf(name, "p%d", i) + 1);
    attr(b, IFLA_MASTER, &master, 4);
    if (tuned || steps) { attr(b, IFLA_NUM_TX_QUEUES, &one, 4); attr(b, IFLA_NUM_RX_QUEUES, &one, 4); }
    struct rtattr *li = attr(b, IFLA_LINKINFO, 0, 0);
    attr(b, IFLA_INFO_KIND, "veth", 4);
    struct rtattr *d = attr(b, IFLA_INFO_DATA, 0, 0), *peer = attr(b, VETH_INFO_PEER, 0, 0);
    struct ifinfomsg pm = { .ifi_index = 2 };
    memcpy((char *)b->cur + NLMSG_ALIGN(b->cur->nlmsg_len), &pm, sizeof pm);
    b->cur->nlmsg_len = NLMSG_ALIGN(b->cur->nlmsg_len) + sizeof pm;
    attr(b, IFLA_IFNAME, "eth0", 5);
    if (tuned || steps) { attr(b, IFLA_NUM_TX_QUEUES, &one, 4); attr(b, IFLA_NUM_RX_QUEUES, &one, 4); }
    attr(b, IFLA_NET_NS_FD, &nsfd[i], 4);
    nest_end(b, peer); nest_end(b, d); nest_end(b, li); end(b);
}
static void address(Batch *b, int i) {
    struct ifaddrmsg *a = start(b, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof *a);
    a->ifa_family = AF_INET; a->ifa_prefixlen = 8; a->ifa_index = 2;
    unsigned ip = htonl(0x0a000001 + i);
    attr(b, IFA_LOCAL, &ip, 4); attr(b, IFA_ADDRESS, &ip, 4); end(b);
}
static double delete(void) {
    double t = now();
    for (int i = 0; i <= N; i++) {
        char p[64];
        sprintf(p, DIR "/limit%d", i);
        umount2(p, MNT_DETACH); unlink(p); close(sock[i]); close(nsfd[i]);
    }
    return now() - t;
}
static void in_steps(double t0) {
    Batch *b = calloc(1, sizeof *b);
    make_ns(N);
    bridge(b);
    for (int i = 0; i < N; i++) {
        make_ns(i);
        link_msg(b, 0, 1, 1); end(b); flush(sock[i], b);
        veth(b, i); flush(sock[N], b);
        link_msg(b, 0, 2, 1); end(b); flush(sock[i], b);
        address(b, i); flush(sock[i], b);
    }
    double t = now() - t0, used = cpu();
    printf("build %.1f cpu %.1f delete %.1f\n", t, used, delete());
}

int main(int argc, char **argv) {
    if (argc < 2) { fprintf(stderr, "usage: limit N [THREADS [BATCH]]\n"); return 2; }
    N = atoi(argv[1]);
    if (argc > 2) T = atoi(argv[2]);
    int batch = argc > 3 ? atoi(argv[3]) : 64;
    tuned = argc > 4 && !strcmp(argv[4], "tuned");
    steps = argc > 4 && !strcmp(argv[4], "steps");
    struct rlimit rl = { 1 << 20, 1 << 20 };
    setrlimit(RLIMIT_NOFILE, &rl);
    mkdir(DIR, 0755);
    if (mount("none", DIR, "none", MS_SHARED | MS_REC, 0)) {
        mount(DIR, DIR, "none", MS_BIND | MS_REC, 0);
        mount("none", DIR, "none", MS_SHARED | MS_REC, 0);
    }
    sock = calloc(N + 1, sizeof *sock); nsfd = calloc(N + 1, sizeof *nsfd);
    double t0 = now();
    if (steps) { in_steps(t0); return 0; }
    pthread_t th[64];
    for (long t = 0; t < T; t++) pthread_create(&th[t], 0, worker, (void *)t);
    for (int t = 0; t < T; t++) pthread_join(th[t], 0);
    double t1 = now();

    Batch *b = calloc(1, sizeof *b);
    bridge(b);
    for (int i = 0; i < N; i++) {
        veth(b, i);
        if (b->n >= batch) flush(sock[N], b);
    }
    flush(sock[N], b);
    double t2 = now();
    for (int i = 0; i < N; i++) {
        link_msg(b, 0, 1, 1); end(b);
        link_msg(b, 0, 2, 1); end(b);
        address(b, i);
        flush(sock[i], b);
    }
    if (tuned) { link_msg(b, 0, BRIDGE_INDEX, 1); end(b); flush(sock[N], b); }
    double t3 = now(), used = cpu(), gone = delete();
    printf("namespaces %.1f links %.1f configure %.1f build %.1f cpu %.1f delete %.1f\n", t1 - t0, t2 - t1, t3 - t2, t3 - t0, used, gone);
    return 0;
}
