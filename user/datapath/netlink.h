/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to the kernel's netlink families through libmnl. Errors are negative errno and set no sentence. */
#ifndef EGRESSD_DATAPATH_NETLINK_H
#define EGRESSD_DATAPATH_NETLINK_H

#include <libmnl/libmnl.h>

/* A message of a dump can hold a link with all its attributes. */
#define NETLINK_BUFFER_SIZE 32768

/*
 * A socket of this family (NETLINK_*) in the calling thread's network namespace: it stays in that namespace wherever the
 * thread goes. netlink_open_in: in the namespace behind the descriptor, which takes CAP_SYS_ADMIN.
 */
int netlink_open(int bus, unsigned int groups, struct mnl_socket **out);
int netlink_open_in(int namespace_fd, int bus, struct mnl_socket **out);
void netlink_close(struct mnl_socket **socket);

/*
 * Sends the request (type and flags set; NLM_F_REQUEST and the sequence number are added) and calls back for each
 * message of the answer. Only the kernel is listened to: in a pod's network namespace whoever has CAP_NET_ADMIN there may
 * send to our port, too. -EINTR: what was dumped changed meanwhile and the answer may be torn; the caller begins anew.
 * -ETIMEDOUT: for NETLINK_ANSWER_SECONDS nothing came, though the answer had not ended.
 */
#define NETLINK_ANSWER_SECONDS 5
#define NETLINK_ATTEMPTS 5 /* at an answer that is torn */
int netlink_request(struct mnl_socket *socket, struct nlmsghdr *request, mnl_cb_t visit, void *data);

/* The same, with a time for the end of the answer; netlink_in(): so many ms from now. */
int64_t netlink_in(int milliseconds);
int netlink_request_until(struct mnl_socket *socket, struct nlmsghdr *request, int64_t deadline, mnl_cb_t visit,
			  void *data);

/* Opens a route socket for one request in this namespace. */
int netlink_request_once(struct nlmsghdr *request, mnl_cb_t visit, void *data);

#define _cleanup_netlink_ _cleanup_(netlink_close)

#endif
