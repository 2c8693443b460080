namespace StreamsHost.Hosting;

/// <summary>The home directory, in which .NET looks for certificates and revocation lists.</summary>
internal static class HomeDirectory
{
    private const string Variable = "HOME";

    /// <summary>
    /// Sets HOME for this process if it is missing: to the user's entry in /etc/passwd, or, without an entry, to / as Docker does. Building a
    /// certificate chain throws without a home directory.
    /// </summary>
    public static void Ensure()
    {
        if (!OperatingSystem.IsWindows() && string.IsNullOrEmpty(Environment.GetEnvironmentVariable(Variable)))
        {
            string home = Environment.GetFolderPath(Environment.SpecialFolder.UserProfile, Environment.SpecialFolderOption.DoNotVerify);
            Environment.SetEnvironmentVariable(Variable, home.Length > 0 ? home : "/");
        }
    }
}
