//! Filter, score, place, explain. Pure.
