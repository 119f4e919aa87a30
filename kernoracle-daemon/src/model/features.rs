//! The numbers that describe a candidate, the situation, and a switch.
//!
//! Each list names its entries once; the index constants, the order in the arrays, what the linear part starts from and whether the
//! kernel could compute the entry at the switch all follow from it. An entry ends with `Scheduler` or `Counts` if it goes with that part of
//! the model: [`super::Without`] leaves it out.

/// One entry of a list.
#[derive(Clone, Copy, Debug)]
pub struct Feature {
    pub name: &'static str,
    /// The scheduler has it at hand, or could at the cost of a few instructions, without tables of its own.
    pub in_kernel: bool,
    /// Weight of the linear part before anything is learned.
    pub prior: f32,
    /// The part of the model that it goes with, if that part can be left out.
    pub part: Option<Part>,
}

/// Where a feature comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Run queues, wake-ups and the fair scheduler's numbers.
    Scheduler,
    /// Counts of what followed the last tasks.
    Counts,
    /// Counts of what followed the same state of the run queues: of both parts.
    StateCounts,
}

macro_rules! features {
    (@part) => { None };
    (@part $part:ident) => { Some(Part::$part) };
    ($(#[$outer:meta])* $module:ident: $($(#[$meta:meta])* $name:ident $kernel:literal $prior:literal $($part:ident)?;)*) => {
        $(#[$outer])*
        pub mod $module {
            use super::{Feature, Part};
            #[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "only numbers the constants")]
            enum Index { $($name,)* LEN }
            $($(#[$meta])* pub const $name: usize = Index::$name as usize;)*
            /// How many there are.
            pub const LEN: usize = Index::LEN as usize;
            /// All of them, in order.
            pub const ALL: [Feature; LEN] = [$(Feature {
                name: stringify!($name),
                in_kernel: $kernel,
                prior: $prior,
                part: features!(@part $($part)?),
            },)*];
        }
    };
}

features! {
    /// Of a candidate. Times are on the scale of `log_time`; probabilities are plain.
    candidate:
    /// The idle task of this CPU.
    IDLE true 0.0;
    /// Idle, and nothing else waits.
    IDLE_ALONE true 1.0 Scheduler;
    /// Idle, though something waits.
    IDLE_BUSY true -3.0 Scheduler;
    RUNNABLE true 1.0 Scheduler;
    /// Asleep, and nothing waits.
    ASLEEP_ALONE true 0.0 Scheduler;
    /// Asleep, though something waits.
    ASLEEP_BUSY true -1.0 Scheduler;
    /// Neither runnable nor asleep for sure: no event has told.
    UNKNOWN false -2.0 Scheduler;
    REAL_TIME true 1.0;
    KTHREAD true 0.0;
    /// Of the same process as the current task.
    SAME_PROCESS true 0.0;
    /// On the same `cfs_rq` as the current task.
    SAME_GROUP true 0.0 Scheduler;
    /// `ln` of its probability by back-off to order 12, over 4.
    LOG_P false 2.5 Counts;
    P1 false 0.0 Counts;
    P4 false 0.0 Counts;
    P8 false 0.3 Counts;
    P12 false 0.5 Counts;
    /// Its odds in the context, stretched and weighed by how often that was seen (`stretched` in `model/odds.rs`).
    SURE1 false 0.0 Counts;
    SURE2 false 0.0 Counts;
    SURE4 false 0.5 Counts;
    SURE8 false 0.5 Counts;
    SURE12 false 0.5 Counts;
    /// The scheduler's choice if the current task sleeps.
    PICK_IF_SLEEPS true 1.0 Scheduler;
    /// The same, times how often the current task sleeps.
    PICK_IF_SLEEPS_LIKELY true 1.0 Scheduler;
    /// The scheduler's choice if the current task uses its slice up.
    PICK_IF_STAYS true 0.3 Scheduler;
    /// The same, times how often the current task stays.
    PICK_IF_STAYS_LIKELY true 1.0 Scheduler;
    /// `1 / (1 + place)` in the scheduler's order of what waits.
    PLACE true 1.0 Scheduler;
    /// `ln(1 + place)`, over 4.
    LOG_PLACE true -1.0 Scheduler;
    VRUNTIME_ABOVE true 0.0 Scheduler;
    DEADLINE_ABOVE true 0.0 Scheduler;
    ELIGIBLE true 0.3 Scheduler;
    GROUP_PICKED true 0.3 Scheduler;
    /// Since it last left a CPU.
    SINCE_LEFT true 0.0;
    /// Since it was woken, if it waits.
    SINCE_WOKEN true 0.0 Scheduler;
    /// Since it fell asleep, against its median sleep: -1 far from waking, 1 long overdue.
    OVERDUE false 0.0 Scheduler;
    /// It left the CPU to the current task.
    JUST_LEFT true 0.0;
    /// Preempted when it last left.
    LEFT_RUNNABLE true 0.0;
    /// The current task woke it last.
    WOKEN_BY_CURRENT true 0.3 Scheduler;
    /// It woke the current task last.
    WOKE_CURRENT true 0.2 Scheduler;
    /// Woken since the current task was switched in.
    WOKEN_NOW true 0.5 Scheduler;
    /// The last one woken since.
    WOKEN_LAST true 0.3 Scheduler;
    /// Sleeps but is still on the queue.
    DELAYED true 0.0 Scheduler;
    /// `1 / (1 + place)` among those that ran last.
    RECENT true 0.0;
    /// How often it sleeps when it leaves.
    VOLUNTARY true 0.0;
    /// Its median run time.
    MEDIAN_RUN false 0.0;
    /// It has never been seen to run.
    NEVER_RAN true 0.0;
    /// Probabilities by what followed the same current task and the same set of waiting tasks, plain and sure.
    P_WAITING false 0.3 StateCounts;
    SURE_WAITING false 0.5 StateCounts;
    /// The same, with the task before the current one.
    P_WAITING2 false 0.3 StateCounts;
    SURE_WAITING2 false 0.5 StateCounts;
    /// By what followed the same current task while the same two tasks had slept deepest for longest.
    P_ASLEEP false 0.3 StateCounts;
    SURE_ASLEEP false 0.5 StateCounts;
    /// By what followed the same current task and waiting set, as they are after a wake-up.
    P_WOKEN false 0.3 StateCounts;
    SURE_WOKEN false 0.7 StateCounts;
    /// By what followed the same last tasks that ran about as long and left in the same way: the last 1, 3 and 6 before the current one.
    P_RUNS1 false 0.0 Counts;
    SURE_RUNS1 false 0.3 Counts;
    P_RUNS3 false 0.0 Counts;
    SURE_RUNS3 false 0.3 Counts;
    P_RUNS6 false 0.3 Counts;
    SURE_RUNS6 false 0.3 Counts;
    /// By what followed the current task when the same three had followed it before.
    P_FOLLOWED false 0.0 Counts;
    SURE_FOLLOWED false 0.3 Counts;
    /// By what followed the current task when it had woken the same three before.
    P_WOKE false 0.0 StateCounts;
    SURE_WOKE false 0.3 StateCounts;
    /// By what followed the current task when its own last four runs had been like these.
    P_RAN false 0.0 StateCounts;
    SURE_RAN false 0.3 StateCounts;
    /// By what followed a task of the current one's role when its own last six runs had been like these.
    P_ROLE_RAN false 0.0 StateCounts;
    SURE_ROLE_RAN false 0.2 StateCounts;
    /// By which kind of task followed one of the current task's role, with the scheduler's choices of these roles.
    P_KIND_PICK false 0.0 StateCounts;
    SURE_KIND_PICK false 0.2 StateCounts;
    /// The same, when the current task's last two runs had been like these.
    P_KIND_RAN false 0.0 StateCounts;
    SURE_KIND_RAN false 0.2 StateCounts;
    /// By which kind followed the same four roles, with the same choice if the current task sleeps.
    P_KIND_ROLES false 0.0 StateCounts;
    SURE_KIND_ROLES false 0.2 StateCounts;
    /// Asleep: probability that the current task wakes it in this run, by its last four runs.
    P_WAKES false 0.5 StateCounts;
    /// Asleep: probability that the current task wakes one of its role, by the last six runs of tasks of the current one's role.
    P_WAKES_ROLE false 0.2 StateCounts;
    /// Each times whether it would then be the scheduler's choice.
    P_WAKES_WINS false 0.5 StateCounts;
    P_WAKES_ROLE_WINS false 0.2 StateCounts;
    /// The scheduler's choice if the current task wakes those that it should and then sleeps: how likely the likeliest of these wake-ups is.
    PICK_IF_WAKES false 0.5 StateCounts;
    /// Asleep, and fell asleep after the current task had left: what it did may be for the current task to answer.
    SLEPT_SINCE true 0.0 Scheduler;
    /// `1 / (1 + place)` among those, by when they fell asleep.
    SLEPT_SINCE_PLACE true 0.3 Scheduler;
    /// The scheduler's choice if the current task sleeps early, or late.
    PICK_EARLY true 0.2 Scheduler;
    PICK_LATE true 0.2 Scheduler;
    /// Asleep: share of the current task's runs in which it wakes it.
    WAKEE true 1.0 Scheduler;
    /// Asleep: the current task woke it in its last run.
    WAKEE_LAST true 0.2 Scheduler;
    /// Asleep: woken now, it would be the scheduler's choice.
    WOULD_WIN true 0.2 Scheduler;
    /// Both.
    WAKEE_WINS true 1.0 Scheduler;
    /// Sleeps uninterruptibly.
    DEEP true 0.0 Scheduler;
    /// `1 / (1 + place)` among those that sleep uninterruptibly, by when they fell asleep.
    DEEP_PLACE true 0.5 Scheduler;
    /// `1 / (1 + place)` among the listed sleepers, by when they should wake.
    DUE_PLACE false 0.3 Scheduler;
    /// It should wake before the current task leaves: 1 long before, -1 long after.
    DUE_BEFORE false 0.3 Scheduler;
    /// The same by its period from wake-up to wake-up, times how regular that is.
    PERIOD_BEFORE false 0.3 Scheduler;
    /// Of the listed sleepers of its role, it has slept for longest.
    FIRST_OF_ROLE true 0.0 Scheduler;
    /// Of the listed sleepers of its role, it fell asleep last.
    LAST_OF_ROLE true 0.0 Scheduler;
    /// Stands for a task that the current one is about to fork.
    CHILD true -4.0;
    /// Tasks that the current one forks in a run.
    FORKS true 2.0 Scheduler;
    /// Stands for every task that is not listed.
    OTHER false 0.0;
}

features! {
    /// Of the situation in which the candidates stand.
    situation:
    ONE true 0.0;
    /// `ln(1 + waiting)`, over 4.
    WAITING true 0.0 Scheduler;
    NONE_WAITS true 0.0 Scheduler;
    ONE_WAITS true 0.0 Scheduler;
    CURRENT_IDLE true 0.0;
    CURRENT_KTHREAD true 0.0;
    CURRENT_REAL_TIME true 0.0;
    CURRENT_VOLUNTARY true 0.0;
    MEDIAN_RUN false 0.0;
    LAST_RUN false 0.0;
    QUARTILE1_RUN false 0.0;
    QUARTILE3_RUN false 0.0;
    /// How long the current task should run, by the history that has foretold best.
    EXPECTED_RUN false 0.0;
    /// From the .1 to the .9 quantile of that.
    EXPECTED_SPREAD false 0.0;
    /// What is left of the current task's slice.
    SLICE_LEFT true 0.0 Scheduler;
    /// Expected run time against what is left of the slice: -1 far below, 1 far above.
    RUN_AGAINST_SLICE false 0.0 Scheduler;
    /// Longest context known, over 12.
    MATCH false 0.0 Counts;
    /// Probability of the likeliest by counts.
    TOP_P false 0.0 Counts;
    /// Made after a wake-up.
    REFINED true 0.0;
    /// Since the current task was switched in.
    ELAPSED true 0.0;
    WAKES true 0.0 Scheduler;
    /// The current task has never been seen to leave.
    NEW true 0.0;
}

features! {
    /// Of a switch, between the codes of the task that entered and of the one that was woken last before: what the LSTM sees.
    switch:
    STAYED_RUNNABLE true 0.0;
    PREEMPTED true 0.0;
    ENDED true 0.0;
    RUN_TIME true 0.0;
    SINCE_WOKEN true 0.0 Scheduler;
    SINCE_LEFT true 0.0;
    IDLE true 0.0;
    WAS_PICK_IF_SLEEPS true 0.0 Scheduler;
    WAS_PICK_IF_STAYS true 0.0 Scheduler;
    WOKEN_BY_PREV true 0.0 Scheduler;
    WAITING true 0.0 Scheduler;
    WAKES true 0.0 Scheduler;
    HIT false 0.0;
    P_ACTUAL false 0.0;
    REAL_TIME true 0.0;
    VOLUNTARY true 0.0;
}
