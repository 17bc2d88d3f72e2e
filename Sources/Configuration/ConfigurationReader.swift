package import ConfigFile

/// Reads the configuration the way the program does, and whatever the program holds it to besides. Given to the supervisor, which knows
/// nothing of the policy.
package protocol ConfigurationReader {
    /// Unless `diagnostics` stays empty the settings are not to be used.
    func read(files: any FileSource, _ diagnostics: Diagnostics) -> Settings
}
