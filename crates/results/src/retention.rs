use crate::Record;
use crate::arms::Arms;

/// Retention R = (effect_student - effect_control) / (effect_teacher - effect_control), methods 0.9: the share of the
/// teacher's effect above the null that is left in a student, with the paired control as the null.
///
/// `None` without control or teacher, for an intrinsic mark (whose control is no null), or when the teacher's effect does not
/// exceed the control's.
pub fn retention(student: &Record, records: &[Record]) -> Option<f64> {
    retention_among(student, &Arms::of(records))
}

pub(crate) fn retention_among(student: &Record, arms: &Arms<'_>) -> Option<f64> {
    if student.arm != crate::Arm::Student || student.planted != Some(true) {
        return None;
    }
    let control = arms.control(student)?.effect?;
    let teacher = arms.teachers(student).first()?.effect?;
    (teacher > control).then_some((student.effect? - control) / (teacher - control))
}
