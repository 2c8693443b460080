namespace StreamsHost;

/// <summary>The home directory, in which .NET looks for certificates and revocation lists.</summary>
internal static class HomeDirectory
{
    private const string Variable = "HOME";

    /// <summary>
    /// Sets HOME for this process where it is missing: to what /etc/passwd has for the user, or, without an entry, to / as Docker does.
    /// Building a certificate chain throws without a home directory; one without certificates is no error.
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
