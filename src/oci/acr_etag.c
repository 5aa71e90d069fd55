
#include <string.h>

#include "acr_etag.h"


static void
acr_etag_skip(acr_text_t *rest, size_t n)
{
    rest->data += n;
    rest->len -= n;
}


/* white space, and the commas of an empty element */

static void
acr_etag_skip_separators(acr_text_t *rest)
{
    while (rest->len && strchr(" \t,", rest->data[0]) && rest->data[0]) {
        acr_etag_skip(rest, 1);
    }
}


/* 1 if nothing but white space stands before the next comma or the end */

static int
acr_etag_ends(const acr_text_t *rest)
{
    size_t  i;

    for (i = 0; i < rest->len && rest->data[i] != ','; i++) {
        if (rest->data[i] != ' ' && rest->data[i] != '\t') {
            return 0;
        }
    }

    return 1;
}


int
acr_etag_any(const acr_text_t *list)
{
    return list->len == 1 && list->data[0] == '*';
}


int
acr_etag_next(acr_text_t *rest, acr_etag_t *etag)
{
    size_t                skip;
    const unsigned char  *end;

    for ( ;; ) {
        acr_etag_skip_separators(rest);

        if (rest->len == 0) {
            return ACR_DONE;
        }

        etag->weak = (rest->len > 2 && memcmp(rest->data, "W/", 2) == 0);

        if (etag->weak) {
            acr_etag_skip(rest, 2);
        }

        if (rest->data[0] == '"') {
            acr_etag_skip(rest, 1);

            end = rest->len ? memchr(rest->data, '"', rest->len) : NULL;

            if (end) {
                etag->tag.data = rest->data;
                etag->tag.len = (size_t) (end - rest->data);

                acr_etag_skip(rest, etag->tag.len + 1);

                if (acr_etag_ends(rest)) {
                    return ACR_OK;
                }
            }
        }

        end = rest->len ? memchr(rest->data, ',', rest->len) : NULL;

        skip = end ? (size_t) (end - rest->data) : rest->len;
        acr_etag_skip(rest, skip);
    }
}
