
/*
 * What comes of a change that an operator has asked for, of a document that is
 * read, changed and written as a whole.
 */

#ifndef ACR_CHANGE_H
#define ACR_CHANGE_H

typedef enum {
    ACR_CHANGE_OK = 0,
    ACR_CHANGE_INVALID,        /* 400 */
    ACR_CHANGE_UNKNOWN,        /* 404 */
    ACR_CHANGE_CONFLICT,       /* 409 */
    ACR_CHANGE_FAILED          /* 500: no memory, no randomness, or the
                                  document is broken */
} acr_change_e;

#endif /* ACR_CHANGE_H */
