use switchboard_core::ports::TenantScope;

fn main() {
    let _ = TenantScope("someone-elses".parse().unwrap());
}
