/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Shares that vary more than chance: x of n where the share itself is drawn from a beta distribution
 * with mean p. rho is the correlation between two of the n (0 = binomial, 1 = all or none), so that
 * the variance of x is n p (1 - p) (1 + (n - 1) rho). A bin of a Dirichlet-multinomial is distributed
 * just so, with the rho that all its bins have.
 *
 * All logarithms are natural.
 */
#pragma once

#include <stddef.h>

/** ln(exp(a) + exp(b)) without overflow; either may be -INFINITY. */
double fg_log_add(double a, double b);

/** ln P(x | n, p, rho). 0 <= x <= n, 0 < p < 1, 0 < rho < 1. */
double fg_betabin_log(double x, double n, double p, double rho);

/**
 * ln of the e-value of x against (p, rho): how many times more likely x is where a share of 1, 3, 10
 * or 30 % (a quarter each) of the n was added that has the trait for sure, p' = p + d (1 - p). Its
 * mean over draws of the null is 1, so that by Markov's inequality (Ville's, for products) it is
 * above 1/a with a chance of a at most.
 */
double fg_betabin_log_e(double x, double n, double p, double rho);

/**
 * ln of an e-value made of a p-value: the mean over all k of the calibrators k p^(k - 1), which is
 * (1 - p + p ln p) / (p ln^2 p) (Vovk and Wang 2021, "E-values: calibration, combination and
 * applications", Annals of Statistics 49, section 2). 1/2 at p = 1, 1.8 at 5 %, 21 at 0.1 %. Valid where
 * P(p <= a) <= a for all a, as of permutation tests.
 */
double fg_p_log_e(double p);

/**
 * One step of the Shiryaev-Roberts recursion R' = (1 + R) e in logarithms. Under the null the mean
 * time until R reaches A is at least A steps (Pollak 1987, Annals of Statistics 15).
 *
 * @param log_r  ln R, -INFINITY at the start
 */
double fg_shiryaev_roberts(double log_r, double log_e);

/**
 * Which of n e-values may be called discoveries with a false discovery rate of q, whatever their
 * dependence: the k largest, k being the largest with e_(k) >= n / (q k) (Wang and Ramdas 2022,
 * "False discovery rate control with e-values"). For current e-values only, never for running
 * maxima.
 *
 * @param log_e  sorted, largest first. @return k.
 */
size_t fg_e_bh(const double *log_e, size_t n, double q);
