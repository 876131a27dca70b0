/* SPDX-License-Identifier: Apache-2.0 */
/* The part of an object that its kind decides; metadata is read already. Errors stay in the reader. */
#ifndef EGRESSD_MODEL_DECODE_KIND_H
#define EGRESSD_MODEL_DECODE_KIND_H

#include "model/reader.h"

void decode_network_policy(struct reader *reader, const struct spot *root);
void decode_pod(struct reader *reader, const struct spot *root);
void decode_service(struct reader *reader, const struct spot *root);
void decode_endpoint_slice(struct reader *reader, const struct spot *root);
void decode_node(struct reader *reader, const struct spot *root);

/*
 * A place within an object that encode.h wrote as "line:column"; `fallback` where there is none. Only in saved
 * objects.
 */
struct place decode_saved_place(struct reader *reader, const struct spot *spot, struct place fallback);

#endif
