/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How egress-cni asks the agent: over a stream socket in the state directory that only root may use (mode 0600, and the
 * agent asks the kernel who is at the other end). A connection carries one request and one answer, each a JSON object on
 * one line of at most CNI_LINE_MAX bytes; the agent answers what is wrong with {"error":"…"} and hangs up.
 *
 *   {"version":1,"command":"wait","container":"…","ifname":"eth0","milliseconds":1500}
 *       is answered as soon as the policy of that attachment's pod is in force, or when the time is over:
 *       {"attached":true,"in_force":true,"reason":null}        reason: why not
 *   {"version":1,"command":"status"}
 *       {"ready":true,"reason":null}
 *
 * What the agent is to know of an attachment it reads from the file that egress-cni wrote before it asked.
 */
#ifndef EGRESSD_NODE_CNI_PROTOCOL_H
#define EGRESSD_NODE_CNI_PROTOCOL_H

#define CNI_SOCKET           "cni.sock"
#define CNI_PROTOCOL_VERSION 1
#define CNI_LINE_MAX         4096
#define CNI_WAIT_MAX_MS      30000

#endif
