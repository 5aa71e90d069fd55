
/*
 * What may be done, and how clients ask for it.
 *
 * Docker token authentication, "Requesting a token": a scope is
 * "<type>:<name>:<action>,<action>...", and several are separated by spaces.
 * ACR adds the actions "metadata_read", "metadata_write" and "delete", and the
 * type "registry" with the name "catalog"; the name "events" is ours.  Names of
 * repositories in what an operator grants may be patterns: a star alone is all
 * of them, a name, a slash and a star are those below that name; nothing else
 * may have a star.
 */

#ifndef ACR_SCOPE_H
#define ACR_SCOPE_H

#include "acr_core.h"

/* what may be done with a repository, and the action of a scope for it */
#define ACR_MAY_PULL            0x01   /* pull: content/read */
#define ACR_MAY_PUSH            0x02   /* push: content/write */
#define ACR_MAY_DELETE          0x04   /* delete: content/delete */
#define ACR_MAY_METADATA_READ   0x08   /* metadata_read: metadata/read */
#define ACR_MAY_METADATA_WRITE  0x10   /* metadata_write: metadata/write */
#define ACR_MAY_ALL             0x1f   /* "*" */

/* what may be done with the registry: scopes "registry:catalog:*" and
   "registry:events:read" */
#define ACR_MAY_CATALOG         0x20
#define ACR_MAY_EVENTS          0x40   /* registry/events/read */
#define ACR_MAY_REGISTRY        0x60

#define ACR_MAY_LAST            ACR_MAY_EVENTS

/* longest list of actions, in bytes, of a scope that is asked for */
#define ACR_SCOPE_ACTIONS_MAX   128

/* longest that acr_scope_print() writes */
#define ACR_SCOPE_MAX           (sizeof("repository::") - 1 + 255 + 64)

typedef struct {
    acr_text_t   name;         /* of the repository, a valid one or "*" alone;
                                  empty (NULL, 0) for the registry, for a type
                                  that is not known, and after an error */
    unsigned     may;          /* ACR_MAY_*; 0: none of the actions is known */
} acr_scope_t;

/*
 * Takes the next scope off *text, which is moved behind it; scope->name points
 * into it.  Scopes are separated by one or more spaces, no other white space.
 * The type ends at the first colon, the actions begin after the last one, and
 * nothing is the same in upper and lower case.
 *
 * A scope may have a resource class in its type ("repository(plugin)"), which
 * is passed over.  Actions that are not known, and empty ones, count as nothing
 * (narrowing, not failing), and so does a type that is not known, whatever its
 * name: may is 0 and the name is empty.  The same holds for a "registry" that
 * is not "catalog" or "events"; of "registry:catalog" the only action is "*",
 * of "registry:events" it is "read" (or "*", all of them), with any other may
 * is 0.  The actions may be empty: "repository:app:".
 *
 * ACR_OK; ACR_DONE: there is no further one; ACR_INVALID: this one is
 * malformed, and *text is behind it: it has less than two colons, its type is
 * not of letters, digits, ".", "_" and "-" (with a class of the same in
 * parentheses, or none), the name of a repository is none, nor "*" (as if it
 * began with a host and its port, or is a pattern like "team" with a star
 * below), or the actions are longer than ACR_SCOPE_ACTIONS_MAX.
 */
int acr_scope_next(acr_text_t *text, acr_scope_t *scope);

/*
 * Writes the scope as clients and challenges have it: the actions in the order
 * pull, push, delete, metadata_read, metadata_write; if may has one of
 * ACR_MAY_REGISTRY, the scope of that instead.  Returns the length, 0 if there
 * is nothing to write: the name is empty, or too long to be one.  buf has room
 * for ACR_SCOPE_MAX bytes.
 */
size_t acr_scope_print(unsigned char *buf, const acr_scope_t *scope);

/* the name of a single action bit in a scope ("pull"), or NULL: it is not one
   bit, or no action of a repository, as ACR_MAY_CATALOG */
const char *acr_scope_action(unsigned bit);

/* of a single bit of ACR_MAY_REGISTRY the name in a scope ("catalog") and, in
   *action, that of its action ("*"); NULL: it is none */
const char *acr_scope_registry(unsigned bit, const char **action);

/* 1 if the text is a repository name or such a pattern, at most as long */
int acr_pattern_valid(const unsigned char *p, size_t n);

/*
 * 1 if the pattern, a valid one, is or covers the repository, which is a valid
 * name, or "*" for all of them: that only the pattern "*" covers.  Nothing
 * covers an empty name.  Those below "team" do not have "team" itself.
 */
int acr_pattern_match(const acr_text_t *pattern, const acr_text_t *repository);

/*
 * Parses a right of a scope map: "repositories/<pattern>/content/read" and so
 * on (content/read, content/write, content/delete, metadata/read,
 * metadata/write), or "<pattern>/content/read" without the prefix.  What begins
 * with "repositories/" has the prefix: a repository of such a name needs it
 * twice.  Sets *pattern (into the text) and *bit.  "registry/events/read" is a
 * right as well, of the pattern "*" (static).  ACR_OK or ACR_INVALID, when
 * *pattern is empty and *bit is 0.
 */
int acr_right_parse(const unsigned char *p, size_t n, acr_text_t *pattern,
    unsigned *bit);

#endif /* ACR_SCOPE_H */
