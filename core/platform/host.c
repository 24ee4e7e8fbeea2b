/* host.c - see host.h. */

#include "core/platform/host.h"

#include "core/base/bytes.h"
#include "core/base/cleanup.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <net/if.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>
#include <pwd.h>

enum {
	NAME_BYTES = 1024,
	NODE_BYTES = 6,
	INTERFACES_MAX = 25, /* as many as libuuid looks at */
};

int host_fqdn(char **out, struct err *e)
{
	struct addrinfo hints = { .ai_flags = AI_CANONNAME, .ai_socktype = SOCK_DGRAM };
	struct addrinfo *found = NULL;
	char name[NAME_BYTES];

	if (gethostname(name, sizeof(name)) < 0)
		return err_set(e, errno, "no host name: %s", strerror(errno));
	name[sizeof(name) - 1] = '\0';
	if (getaddrinfo(name, NULL, &hints, &found) != 0)
		found = NULL;
	*out = strdup(found && found->ai_canonname && *found->ai_canonname ? found->ai_canonname
									   : name);
	if (found)
		freeaddrinfo(found);
	return *out ? 0 : err_nomem(e, "host name");
}

static bool hardware_address(int fd, const char *name, uint8_t node[static NODE_BYTES])
{
	static const uint8_t none[NODE_BYTES];
	struct ifreq request = { 0 };

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%.*s", IFNAMSIZ - 1, name);
	if (ioctl(fd, SIOCGIFHWADDR, &request) < 0)
		return false;
	memcpy(node, request.ifr_hwaddr.sa_data, NODE_BYTES);
	return memcmp(node, none, NODE_BYTES) != 0;
}

static bool first_hardware_address(uint8_t node[static NODE_BYTES])
{
	CLEANUP(cleanup_closep) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq interfaces[INTERFACES_MAX] = { 0 };
	struct ifconf list = { .ifc_len = sizeof(interfaces), .ifc_req = interfaces };

	if (fd < 0 || ioctl(fd, SIOCGIFCONF, &list) < 0)
		return false;
	for (size_t i = 0; i < (size_t)list.ifc_len / sizeof(interfaces[0]); i++)
		if (hardware_address(fd, interfaces[i].ifr_name, node))
			return true;
	return false;
}

static int node_number(uint64_t *out, struct err *e)
{
	uint8_t node[2 + NODE_BYTES] = { 0 };

	if (!first_hardware_address(node + 2)) {
		if (getrandom(node + 2, NODE_BYTES, 0) != NODE_BYTES)
			return err_set(e, EIO, "no random bytes for a host id");
		node[2] |= 1;
	}
	*out = get_be64(node);
	return 0;
}

int host_id(char **out, struct err *e)
{
	CLEANUP(cleanup_freep) char *fqdn = NULL;
	const char *given = getenv("BORG_HOST_ID");
	uint64_t node = 0;
	int rc;

	*out = NULL;
	if (given && *given) {
		*out = strdup(given);
		return *out ? 0 : err_nomem(e, "host id");
	}
	rc = host_fqdn(&fqdn, e);
	if (rc == 0)
		rc = node_number(&node, e);
	if (rc < 0)
		return rc;
	if (asprintf(out, "%s@%" PRIu64, fqdn, node) < 0) {
		*out = NULL;
		return err_nomem(e, "host id");
	}
	return 0;
}

bool host_process_alive(int64_t pid)
{
	if (pid <= 0 || pid > INT_MAX)
		return true; /* kill(2) would take it for a group */
	return kill((pid_t)pid, 0) == 0 || errno != ESRCH;
}

char *host_short_name(void)
{
	char name[HOST_NAME_MAX + 1] = "";

	(void)gethostname(name, sizeof(name) - 1);
	name[strcspn(name, ".")] = '\0';
	return strdup(name);
}

/* Python's order: the environment first. */
char *host_user_name(void)
{
	static const char *const variables[] = { "LOGNAME", "USER", "LNAME", "USERNAME" };
	struct passwd entry, *found = NULL;
	char buffer[4096], number[16];

	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
		const char *value = getenv(variables[i]);

		if (value && *value)
			return strdup(value);
	}
	if (getpwuid_r(getuid(), &entry, buffer, sizeof(buffer), &found) == 0 && found)
		return strdup(found->pw_name);
	snprintf(number, sizeof(number), "%u", (unsigned)getuid());
	return strdup(number);
}
