// Package retrain trains the next isolation forest from stored clicks and guards it
// against learning an attack.
//
// Learned are clicks of closed hours that neither the edge nor the last word on them
// found anything but valid, outside hours in which their tenant had an incident: a
// bounded sample of every source, by hash, so that the same store, hours and seed give
// the same model. A source that the accepted model did not know yet is looked at and not
// learned from: it has one window to show what it is like.
//
// What rules did not catch stands among the valid clicks. So before a candidate may score
// anything its sample is held against the profile of the model in force: if a share e
// of the clicks is of another kind, then whatever event one looks at, a value of a
// feature, a score of the old model, a publisher, its share rises from p to at most
// p(1-e) + e. Turned around, every event gives a lower bound of the foreign share:
// (q-p)/(1-p) for an event whose share rose to q. The guard takes the greatest over all
// events, less the noise of the samples, and refuses above the limit. The bound is
// that of the mixture proportion (Blanchard, Lee and Scott, "Semi-Supervised Novelty
// Detection", JMLR 11, 2010).
package retrain
