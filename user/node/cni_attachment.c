/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "node/cni_attachment.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "model/syntax.h"
#include "node/cni_protocol.h"
#include "report/state.h"

#define ATTACHMENT_VERSION 1
#define FILE_SUFFIX        ".json"

void cni_attachment_clear(struct cni_attachment *attachment)
{
	free(attachment->network);
	free(attachment->container);
	free(attachment->ifname);
	free(attachment->namespace);
	free(attachment->pod);
	free(attachment->uid);
	free(attachment->netns);
	free(attachment->addresses);
	*attachment = (struct cni_attachment){0};
}

static void free_json(json_t **json)
{
	json_decref(*json);
}

/* ------------------------------------------------------------------ names */

bool cni_is_container_id(const char *text)
{
	const char *next;

	/* A file name has 255 bytes, of which the interface's name and the suffix need some. */
	if (!isalnum((unsigned char)*text) || strlen(text) > 200)
		return false;
	for (next = text; *next; next++)
		if (!isalnum((unsigned char)*next) && !strchr("_.-", *next))
			return false;
	return true;
}

bool cni_is_ifname(const char *text)
{
	return syntax_is_interface_name(text);
}

static char *directory_of(const char *state)
{
	return text_format("%s/%s", state, CNI_ATTACHMENTS_DIRECTORY);
}

/* No container ID has the ':' that divides them, and no interface's name either. */
static char *name_of(const char *container, const char *ifname)
{
	return text_format("%s:%s%s", container, ifname, FILE_SUFFIX);
}

/* ------------------------------------------------------------------ encoding */

static json_t *encode_addresses(const struct cni_attachment *attachment)
{
	json_t *list = json_array();
	char text[IP_TEXT_SIZE];
	size_t i;

	for (i = 0; i < attachment->address_count; i++)
		json_array_append_new(list, json_string(ip_address_format(&attachment->addresses[i], text)));
	return list;
}

static json_t *encode(const struct cni_attachment *attachment)
{
	const uint8_t *mac = attachment->mac;
	char text[32];

	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	return json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:s, s:I, s:s, s:o, s:I, s:b}", "version",
			 ATTACHMENT_VERSION, "network", attachment->network, "container", attachment->container,
			 "ifname", attachment->ifname, "namespace", attachment->namespace, "pod", attachment->pod,
			 "uid", attachment->uid, "netns", state_text(attachment->netns), "interface",
			 attachment->interface, "ifindex", (json_int_t)attachment->ifindex, "mac", text, "addresses",
			 encode_addresses(attachment), "created", (json_int_t)attachment->created, "deleted",
			 attachment->deleted);
}

int cni_attachment_write(const char *state, const struct cni_attachment *attachment)
{
	_cleanup_free_ char *directory = directory_of(state);
	_cleanup_free_ char *name = name_of(attachment->container, attachment->ifname);
	_cleanup_(free_json) json_t *json = encode(attachment);
	int error;

	if (!directory || !name || !json)
		return -ENOMEM;
	error = state_directory_prepare(state);
	if (!error && mkdir(directory, 0700) && errno != EEXIST)
		error = -errno;
	return error ? error : state_write(directory, name, json);
}

/* ------------------------------------------------------------------ decoding */

static int decode_mac(const char *text, uint8_t mac[6])
{
	unsigned int bytes[6];
	int end = 0, i;

	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &bytes[0], &bytes[1], &bytes[2], &bytes[3], &bytes[4], &bytes[5],
		   &end) != 6 ||
	    text[end])
		return -EINVAL;
	for (i = 0; i < 6; i++)
		mac[i] = (uint8_t)bytes[i];
	return 0;
}

static int decode_addresses(const json_t *list, struct cni_attachment *out)
{
	size_t count = json_array_size(list), i;

	out->addresses = calloc(count + 1, sizeof(*out->addresses));
	if (!out->addresses)
		return -ENOMEM;
	for (i = 0; i < count; i++) {
		const char *text = json_string_value(json_array_get(list, i));

		if (!text || ip_address_parse(text, &out->addresses[i]))
			return -EINVAL;
		out->address_count++;
	}
	return 0;
}

static int copy_text(const char *text, char **out)
{
	*out = strdup(text);
	return *out ? 0 : -ENOMEM;
}

static bool is_valid(const struct cni_attachment *attachment)
{
	return cni_is_container_id(attachment->container) && cni_is_ifname(attachment->ifname) &&
	       *attachment->namespace && *attachment->pod && attachment->ifindex &&
	       cni_is_ifname(attachment->interface);
}

static int decode(json_t *json, struct cni_attachment *out)
{
	const char *network, *container, *ifname, *namespace, *pod, *uid, *netns, *interface, *mac;
	json_t *addresses;
	json_int_t ifindex, created;
	int version, deleted, error;

	if (json_unpack(json, "{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:s, s:o, s:I, s:b}", "version",
			&version, "network", &network, "container", &container, "ifname", &ifname, "namespace",
			&namespace, "pod", &pod, "uid", &uid, "netns", &netns, "interface", &interface, "ifindex",
			&ifindex, "mac", &mac, "addresses", &addresses, "created", &created, "deleted", &deleted))
		return -EINVAL;
	if (version != ATTACHMENT_VERSION || ifindex < 1 || ifindex > UINT32_MAX || strlen(interface) >= IF_NAMESIZE ||
	    decode_mac(mac, out->mac))
		return -EINVAL;
	out->ifindex = (uint32_t)ifindex;
	out->created = (uint64_t)created;
	out->deleted = deleted;
	snprintf(out->interface, sizeof(out->interface), "%s", interface);
	error = decode_addresses(addresses, out);
	if (error)
		return error;
	if (copy_text(network, &out->network) || copy_text(container, &out->container) ||
	    copy_text(ifname, &out->ifname) || copy_text(namespace, &out->namespace) || copy_text(pod, &out->pod) ||
	    copy_text(uid, &out->uid) || copy_text(netns, &out->netns))
		return -ENOMEM;
	return is_valid(out) ? 0 : -EINVAL;
}

static int read_file(const char *directory, const char *name, struct cni_attachment *out)
{
	_cleanup_(cni_attachment_clear) struct cni_attachment read = {0};
	_cleanup_(free_json) json_t *json = NULL;
	int error = state_read(directory, name, &json);

	if (!error)
		error = decode(json, &read);
	if (error)
		return error;
	*out = read;
	read = (struct cni_attachment){0};
	return 0;
}

int cni_attachment_read(const char *state, const char *container, const char *ifname, struct cni_attachment *out)
{
	_cleanup_free_ char *directory = directory_of(state);
	_cleanup_free_ char *name = name_of(container, ifname);

	if (!directory || !name)
		return -ENOMEM;
	return read_file(directory, name, out);
}

int cni_attachment_remove(const char *state, const char *container, const char *ifname)
{
	_cleanup_free_ char *name = name_of(container, ifname);
	_cleanup_free_ char *path = NULL;

	if (!name)
		return -ENOMEM;
	path = text_format("%s/%s/%s", state, CNI_ATTACHMENTS_DIRECTORY, name);
	if (!path)
		return -ENOMEM;
	return unlink(path) && errno != ENOENT ? -errno : 0;
}

/* ------------------------------------------------------------------ lists */

void cni_attachment_list_clear(struct cni_attachment_list *list)
{
	size_t i;

	for (i = 0; i < list->count; i++)
		cni_attachment_clear(&list->items[i]);
	free(list->items);
	free(list->damage);
	*list = (struct cni_attachment_list){0};
}

/* Names that begin with a dot are those of files that are being written. */
static bool is_attachment_name(const char *name)
{
	size_t length = strlen(name), suffix = strlen(FILE_SUFFIX);

	return name[0] != '.' && length > suffix && !strcmp(name + length - suffix, FILE_SUFFIX);
}

static void note_damage(struct cni_attachment_list *list, const char *directory, const char *name, int error)
{
	list->damaged++;
	if (!list->damage)
		list->damage = text_format("%s/%s: %s", directory, name,
					   error == -EINVAL ? "is no attachment of egress-cni" : strerror(-error));
}

static int read_entry(const char *directory, const char *name, struct cni_attachment_list *list, size_t *capacity)
{
	int error = array_reserve(&list->items, capacity, list->count + 1, sizeof(*list->items));

	if (error)
		return error;
	error = read_file(directory, name, &list->items[list->count]);
	if (!error)
		list->count++;
	else if (error != -ENOENT && error != -ENOMEM)
		note_damage(list, directory, name, error);
	return error == -ENOMEM ? error : 0;
}

static int by_age(const void *a, const void *b)
{
	const struct cni_attachment *first = a, *second = b;

	return first->created < second->created ? -1 : first->created > second->created;
}

int cni_attachment_list_read(const char *state, struct cni_attachment_list *out)
{
	_cleanup_(cni_attachment_list_clear) struct cni_attachment_list list = {0};
	_cleanup_free_ char *path = directory_of(state);
	_cleanup_directory_ DIR *directory = NULL;
	struct dirent *entry;
	size_t capacity = 0;
	int error = 0;

	if (!path)
		return -ENOMEM;
	directory = opendir(path);
	if (!directory && errno != ENOENT)
		return -errno;
	while (directory && !error && (entry = readdir(directory)))
		if (is_attachment_name(entry->d_name))
			error = read_entry(path, entry->d_name, &list, &capacity);
	if (error)
		return error;
	if (list.count)
		qsort(list.items, list.count, sizeof(*list.items), by_age);
	*out = list;
	list = (struct cni_attachment_list){0};
	return 0;
}

bool cni_attachment_interface_exists(const struct cni_attachment *attachment)
{
	char name[IF_NAMESIZE];

	return if_indextoname(attachment->ifindex, name) != NULL;
}

static bool namespace_exists(const char *path)
{
	struct stat found, own;

	if (stat("/proc/self/ns/net", &own))
		return true;
	if (stat(path, &found))
		return errno != ENOENT && errno != ENOTDIR;
	/* A mount point may outlive its mount; a process's number may be another's by now, in the node's network. */
	return found.st_dev == own.st_dev && found.st_ino != own.st_ino;
}

bool cni_attachment_is_over(const struct cni_attachment *attachment)
{
	char name[IF_NAMESIZE];

	/* What has the number may be another interface by now. */
	if (if_indextoname(attachment->ifindex, name) && !strcmp(name, attachment->interface))
		return false;
	return !namespace_exists(attachment->netns);
}

int cni_attachments_prune(const char *state)
{
	_cleanup_(cni_attachment_list_clear) struct cni_attachment_list list = {0};
	int error = cni_attachment_list_read(state, &list), first = error;
	size_t i;

	for (i = 0; i < list.count; i++) {
		if (!list.items[i].deleted || cni_attachment_interface_exists(&list.items[i]))
			continue;
		error = cni_attachment_remove(state, list.items[i].container, list.items[i].ifname);
		if (!first)
			first = error;
	}
	return first;
}

int cni_attachments_remove(const char *state)
{
	_cleanup_free_ char *path = directory_of(state);
	_cleanup_free_ char *socket = text_format("%s/%s", state, CNI_SOCKET);
	_cleanup_directory_ DIR *directory = NULL;
	struct dirent *entry;

	if (!path || !socket)
		return -ENOMEM;
	if (unlink(socket) && errno != ENOENT && errno != ENOTDIR)
		return -errno;
	directory = opendir(path);
	if (!directory)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	while ((entry = readdir(directory))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (unlinkat(dirfd(directory), entry->d_name, 0) && errno != ENOENT)
			return -errno;
	}
	return rmdir(path) && errno != ENOENT ? -errno : 0;
}
