/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Accounts on clients, where the operator's application tells of them (model/accounts.h). Once a minute;
 * half a second with full tables (bench/accounts).
 *
 * Shape     either many young accounts on one client: k, for each host estimated behind its source,
 *           against the clients of the same stem (of all stems where those are few);
 *           X ~ negative binomial, the mean fitted without who stands out, dispersion
 *           FG_ACCOUNTS_DISPERSION, nats = -ln P(X >= k);
 *           or a community of accounts (detect/communities.h): n accounts of which each is joined to
 *           others, which a share p of accounts outside are; nats = n ln(FG_TRAIT_IN_FARMS / p).
 *           At most FG_ACCOUNTS_CAP_NATS: shape flags nobody. It counts as volume.
 * Accounts  what is said of the accounts themselves, the strongest of: how many were made within a week
 *           (communities only: on one client they are what is counted), how many were banned, each as
 *           -ln P(X >= x) of a binomial with the share among all other accounts, where that is no small
 *           effect; hand-over after bans of the stem (detect/replacement.h), -ln p. At most FG_FAMILY_CAP_NATS. It counts as lifecycle.
 *
 * A finding for each client, all of a community's with one id. Popular stems are no evidence: clients are
 * compared inside their stem. Relays are none here: a company's gateway has many accounts and is relayed.
 *
 * False positive case: a hundred people who open accounts in one week behind one gateway have the shape;
 * they would also have to be banned to be flagged. A course whose students move together through three
 * networks with young accounts is flagged: allow its addresses. Never enforced where networks are not
 * known (asn.file), or where it is not known which client an account was on.
 * Blind: farms that give each account its own client, and aged accounts that nobody bans.
 */
#pragma once

#include "detect/detect.h"

extern const struct fg_detector_ops fg_detect_accounts;

/** -ln P(X >= x) of a binomial of n with this share, at most 700. */
double fg_accounts_binomial_nats(double x, double n, double share);
/** The same where x of n is no small effect (FG_ACCOUNTS_SHARE, FG_ACCOUNTS_ODDS), else 0. */
double fg_accounts_excess_nats(uint32_t x, uint32_t n, double share);
